"""Re-ranking: what a second look changes, what it leaves alone, and models by name."""

import asyncio
import math
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from checkpoints import bert_config, save_tokenizer
from hypothesis import given
from hypothesis import strategies as st

from pipelines.errors import ModelUnavailable
from pipelines.search.asked.query import Query
from pipelines.search.fusion.reranking import (
    RERANK,
    LexicalReranker,
    item_scores,
    rerank,
    reranker,
)
from pipelines.search.fusion.scores import Scored, in_order
from pipelines.search.retrieval import Retrieval, run
from pipelines.search.stages import rerank as stage
from pipelines.settings import Settings


def ranking(*scores: float) -> list[Scored]:
    parts = ({"visual": 0.75 * score, "bm25": 0.25 * score} for score in scores)
    return in_order([Scored.of("abcdefghij"[n], part) for n, part in enumerate(parts)])


def ids(ranked: list[Scored]) -> str:
    return "".join(entry.item_id for entry in ranked)


SIX = ranking(0.9, 0.8, 0.7, 0.6, 0.5, 0.4)


def test_five_results_stay_as_they_are_and_six_do_not() -> None:
    last_is_best = dict.fromkeys("abcdef", 0.0) | {"e": 1.0, "f": 1.0}
    assert rerank(SIX[:5], last_is_best, 0.5) == SIX[:5]
    assert ids(rerank(SIX, last_is_best, 0.5)) == "efabcd"


@given(
    st.dictionaries(st.sampled_from("abcdefghij"), st.floats(0, 1)),
    st.lists(st.floats(0, 1), max_size=10),
    st.floats(0, 1),
)
def test_blended_parts_sum_to_the_score(
    scores: dict[str, float], fused: list[float], share: float
) -> None:
    before = ranking(*fused)
    after = rerank(before, scores, share)
    assert sorted(ids(after)) == sorted(ids(before))
    was = {entry.item_id: entry for entry in before}
    blended = any(RERANK in entry.channels for entry in after)
    for entry in after:
        assert abs(sum(entry.channels.values()) - entry.score) < 1e-6
        if blended:
            own = entry.score - entry.channels[RERANK]
            assert own == pytest.approx((1 - share) * was[entry.item_id].score, abs=1e-9)
    assert after == in_order(after)


def test_what_cannot_be_read_stands_between_what_fits_and_what_does_not() -> None:
    alike = ranking(*[0.5] * 6)
    assert ids(rerank(alike, {"c": 0.0, "d": 1.0}, 0.5)) == "dabefc"
    assert rerank(SIX, {}, 0.5) == SIX
    assert rerank(SIX, {"f": 1.0}, 0.0) == SIX


def test_only_so_many_are_read_and_what_follows_stays_below_them_in_order() -> None:
    before = ranking(0.9, 0.8, 0.7, 0.6, 0.5, 0.4)
    after = rerank(before, dict.fromkeys("abcdef", 0.0) | {"c": 1.0, "f": 1.0}, 0.5, depth=4)
    assert ids(after) == "cabdef" and after == in_order(after)
    assert [each.score for each in after[4:]] == pytest.approx([0.25, 0.2])
    assert all(RERANK not in each.channels for each in after[4:])
    assert rerank(before, {"e": 1.0}, 0.5, depth=4) == before, "none that is read has a passage"


def test_what_was_asked_in_other_words_is_read_for_those(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[tuple[str, int]] = []

    class Tables:
        async def texts(self, item_ids: list[str], most: int) -> dict[str, list[str]]:
            return {each: ["a boat"] for each in item_ids}

    def scores(judge: Any, words: str, passages: Mapping[str, Any]) -> dict[str, float]:
        read.append((words, len(passages)))
        return {}

    monkeypatch.setattr(stage, "item_scores", scores)
    searcher: Any = SimpleNamespace(engine=None, tables=Tables())
    for text, reworded, offset in (("where is the boat", "boat", 0), ("boat", None, 60)):
        query = Query(text, reranker="lexical", k=10, offset=offset)
        many = [Scored.of(f"{number:03d}", {"visual": 1 - number / 100}) for number in range(80)]
        asked = Retrieval(query, searcher, Settings(), reworded=reworded, ranked=many)
        asyncio.run(run(asked, [stage.Rerank()]))
        assert len(asked.ranked) == 80
    assert read == [("boat", 50), ("boat", 50)]


@pytest.mark.parametrize(
    ("query", "better", "worse"),
    [
        ("blue cotton shirt", "A shirt of blue cotton", "a blue car"),
        ("blue shirt", "the blue shirt", "the blue car and, next to it, a white shirt"),
        ("running shoes", "shoes to run in, one running shoe", "shoe boxes"),
        ("café receipt", "receipt of the cafe", "receipt of the shop"),
        # "photo" is in nearly all passages, so that it says less than "zebra".
        ("zebra photo", "zebra in the grass", "photo of the grass"),
        ("phone number", "the phone number of the shop", "call <PHONE_NUMBER>"),
    ],
)
def test_words_that_are_rare_and_close_together_count_for_more(
    query: str, better: str, worse: str
) -> None:
    passages = [worse, better, "photo of a street", "photo of a tree", "photo of a house"]
    low, high, *rest = LexicalReranker().score(query, passages)
    assert 0 <= low < high <= 1 + 1e-12
    assert max(rest) < high


def test_all_words_side_by_side_are_the_best_there_is() -> None:
    lexical = LexicalReranker()
    assert lexical.score("blue shirt", ["a blue shirt", "", "blue"]) == [
        pytest.approx(1.0),
        0.0,
        pytest.approx(0.7 * _share(2, 1, 3)),
    ]
    assert lexical.score("shirt", ["shirts"]) == [1.0]
    assert lexical.score("what is this", ["what is this"]) == [0.0]
    assert lexical.score("shirt", []) == []


def _share(held_by: int, other_by: int, of: int) -> float:
    """Share of one word's inverse document frequency in that of two."""
    one, other = (math.log(1 + (of - n + 0.5) / (n + 0.5)) for n in (held_by, other_by))
    return one / (one + other)


def test_an_item_is_as_good_as_its_best_passage() -> None:
    passages = {"film": ["nothing here", "a blue shirt"], "photo": ["a shirt"], "sound": []}
    scores = item_scores(LexicalReranker(), "blue shirt", passages)
    assert scores.keys() == {"film", "photo"}
    assert scores["film"] == pytest.approx(1.0)
    assert 0 < scores["photo"] < 0.7


def tiny_cross_encoder(folder: Path, labels: int = 1) -> Path:
    """Make a cross-encoder of width 16 with random weights."""
    import torch
    from transformers import BertForSequenceClassification

    torch.manual_seed(0)
    path = folder / f"tiny-cross-{labels}"
    tokenizer = save_tokenizer(path)
    config = bert_config(len(tokenizer), initializer_range=1.0)
    config.num_labels = labels
    BertForSequenceClassification(config).save_pretrained(path)
    return path


def test_a_cross_encoder_reads_pairs_and_says_0_to_1(tmp_path: Path) -> None:
    judge = reranker(f"cross-encoder:{tiny_cross_encoder(tmp_path)}")
    scores = judge.score("the dog", ["a dog on the beach", "a cat", "a dog on the beach"])
    assert len(scores) == 3 and all(0 < score < 1 for score in scores)
    assert scores[0] == pytest.approx(scores[2], abs=1e-6)
    assert abs(scores[0] - scores[1]) > 1e-3
    assert judge.score("the dog", []) == []
    assert abs(judge.score("a cat", ["a cat"])[0] - judge.score("the dog", ["a cat"])[0]) > 1e-3


def test_models_that_cannot_judge_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match="3 numbers, not one"):
        reranker(f"cross-encoder:{tiny_cross_encoder(tmp_path, labels=3)}")
    with pytest.raises(ModelUnavailable, match="cannot be loaded"):
        reranker(f"cross-encoder:{tmp_path / 'absent'}")
    path = tiny_cross_encoder(tmp_path)
    weights = path / "model.safetensors"
    weights.rename(path / "pytorch_model.bin")
    with pytest.raises(ModelUnavailable, match="cannot be loaded"):
        reranker(f"cross-encoder:{path}")
    for spec in ("bm25", "cross-encoder:", "lexical:x"):
        with pytest.raises(ModelUnavailable, match="lexical or cross-encoder:NAME_OR_PATH"):
            reranker(spec)
    assert isinstance(reranker("lexical"), LexicalReranker)
