"""What channels found becomes one matrix: every similarity stands with its item and channel."""

from types import SimpleNamespace
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipelines.search.engines.found import Found
from pipelines.search.weighing import similarities

ITEMS = st.text("abcdef", min_size=1, max_size=2)
FOUND = st.dictionaries(ITEMS, st.floats(-1, 1), max_size=12)


@given(
    st.dictionaries(st.sampled_from(["visual", "ocr", "bm25"]), FOUND), st.lists(ITEMS), st.data()
)
def test_each_similarity_stands_with_its_item_and_channel(
    found: dict[str, dict[str, float]], added: list[str], data: st.DataObject
) -> None:
    hits = {}
    for name, values in found.items():
        hits[name] = Found()
        # As an engine that looks several times.
        cut = data.draw(st.integers(0, len(values)))
        for part in ([*values][:cut], [*values][max(0, cut - 2) :]):
            scores, rows = np.array([values[each] for each in part]), np.arange(len(part)) + cut
            hits[name].add(Found.of(part, scores, rows + 100 * len(hits[name])))
        assert {each: hit.value for each, hit in hits[name].items()} == values
        assert hits[name].lacks(added) == [each for each in added if each not in values]
    asked: Any = SimpleNamespace(hits=hits)
    for only in (None, [*dict.fromkeys(added)]):
        evidence = similarities(asked, only)
        wanted = only or {each for values in found.values() for each in values}
        assert set(evidence) == set(wanted) and len(evidence) == len(wanted)
        for item_id, values in evidence.items():
            having = {name: each[item_id] for name, each in found.items() if item_id in each}
            assert values == having
