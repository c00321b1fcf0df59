"""The mirror answers as exact search and as the tables do: filters, hidden items, long films."""

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import toy
from hypothesis import given, settings
from hypothesis import strategies as st
from toy import DIMENSION, MODEL, OTHER, item_id, row, rows, vector

from pipelines.models.protocols import ModelChoice
from pipelines.releases.candidate import build
from pipelines.search.engines import vectors as module
from pipelines.search.engines.found import Found
from pipelines.search.engines.held import HeldChannel
from pipelines.search.engines.lance import LanceEngine
from pipelines.search.engines.mirror import Mirror
from pipelines.search.engines.protocol import PLACE, Allowed, Engine
from pipelines.search.engines.rows import Numbers, Rows
from pipelines.store import Store

MUCH = 1 << 40
WORDS = ("red", "bridge", "bridges", "night", "dog", "walking", "walk", "café", "the", "of")


def held(items: np.ndarray, vectors: np.ndarray, row_ids: np.ndarray) -> HeldChannel:
    """A channel of rows that were read in any order."""
    columns: dict[str, Any] = {name: pa.nulls(len(items), pa.string()) for name in PLACE}
    columns |= {"item_id": items, "segment": row_ids.astype(str)}
    order = np.argsort(row_ids)
    numbers = Numbers(marked(row_ids.astype(str), row_ids))
    return HeldChannel(Rows(numbers, pa.table(columns).take(order)), vectors[order])


def marked(keys: np.ndarray, row_ids: np.ndarray, recipes: Any = None) -> pa.Table:
    """What rows are known again by."""
    recipes = np.zeros(len(keys), int) if recipes is None else recipes
    marks = {"key": keys, "recipe": recipes.astype(str), "attributes_hash": keys}
    return pa.table(marks | {"_rowid": row_ids})


def units(rng: np.random.Generator, count: int) -> np.ndarray:
    values = rng.normal(size=(count, DIMENSION))
    return (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float16)


async def told(engine: Engine, channel: str, found: Found) -> dict[str, dict[str, Any]]:
    """What is shown of what was found."""
    rows = await engine.told(channel, found.rows.tolist())
    return dict(zip(found, rows, strict=True))


def near(found: Found) -> Any:
    """Values as they are up to half precision."""
    return pytest.approx({each: hit.value for each, hit in found.items()}, abs=1e-3)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    count=st.integers(1, 60),
    items=st.integers(1, 20),
    share=st.sampled_from([0.0, 0.1, 0.5, 1.0]),
    asked=st.integers(1, 30),
    wanted=st.integers(1, 8),
    exact_rows=st.sampled_from([8, 100]),
)
def test_exactly_the_best_allowed_rows_are_found(
    seed: int, count: int, items: int, share: float, asked: int, wanted: int, exact_rows: int
) -> None:
    rng = np.random.default_rng(seed)
    names = np.array([f"i{rng.integers(items)}" for _ in range(count)])
    vectors = units(rng, count)
    vectors[rng.random(count) < 0.1] = 0
    row_ids = rng.permutation(count) * 7
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "EXACT_ROWS", exact_rows)
        channel = held(names, vectors, row_ids)
    allowed = rng.random(count) < share
    hidden = {f"i{each}" for each in range(items) if rng.random() < 0.2}
    query = units(rng, 1)[0].astype(np.float32)

    selection = channel.without(channel.selected(row_ids[allowed]), hidden)
    found = channel.nearest(3 * query, selection, asked, wanted)

    allowed &= ~np.isin(names, list(hidden))
    assert best(names, vectors, query, allowed, asked, wanted) == near(found)
    for item, hit in found.items():
        [told] = channel.rows.told([hit.row])
        place = np.flatnonzero(row_ids == int(told["segment"]))[0]
        assert names[place] == told["item_id"] == item
        assert vectors[place] @ query == pytest.approx(hit.value, abs=1e-3)


def best(
    names: np.ndarray,
    vectors: np.ndarray,
    query: np.ndarray,
    allowed: np.ndarray,
    rows: int,
    items: int,
) -> dict[str, float]:
    """What must be found, by the plainest means."""
    found: dict[str, float] = {}
    products = vectors.astype(np.float32) @ query
    left = allowed & vectors.any(axis=1)
    while len(found) < items and left.any():
        for each in [each for each in np.argsort(-products) if left[each]][:rows]:
            found.setdefault(names[each], products[each])
        left &= ~np.isin(names, list(found))
    return found


@pytest.mark.parametrize("share", [1.0, 0.5, 0.1, 0.01])
@pytest.mark.parametrize("about_topic", [False, True])
def test_a_large_table_is_searched_in_part_with_the_same_best(
    monkeypatch: pytest.MonkeyPatch, share: float, about_topic: bool
) -> None:
    monkeypatch.setattr(module, "EXACT_ROWS", 1_000)
    monkeypatch.setattr(module, "LOOKED_AT", 8.0)
    rng = np.random.default_rng(0)
    topics = rng.integers(0, 100, 8_000)
    vectors = units(rng, 100)[topics] + 0.8 * units(rng, 8_000)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    names = np.array([f"i{each}" for each in range(8_000)])
    channel = held(names, vectors.astype(np.float16), np.arange(8_000))
    allowed = topics < 100 * share if about_topic else rng.random(8_000) < share
    selection = channel.selected(np.flatnonzero(allowed))
    shares = []
    for query in vectors[:50].astype(np.float32) + 0.5 * units(rng, 50):
        found = channel.nearest(query, selection, 10, 1)
        true = np.argsort(np.where(allowed, -(vectors @ query), np.inf))[:10]
        assert len(found) == 10 and all(allowed[int(each[1:])] for each in found)
        shares.append(len(found.keys() & set(names[true])) / 10)
    assert np.mean(shares) >= 0.95


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Two channels: a film with very many rows, sixty items of one, and one without direction."""
    store = Store(str(tmp_path_factory.mktemp("mirrored")))
    film = [
        row("film", f"frame-{n}", 0, vector=vector(0) + 0.3 * vector(n), kind="video")
        for n in range(1_000, 1_080)
    ]
    still = row("still", "image", 0, vector=np.zeros(DIMENSION, np.float32))
    others = rows(range(60)) + rows(range(60, 80), region="us")
    store.channel("visual", MODEL).upsert([*film, still, *others])
    store.channel("caption", OTHER).upsert(rows(range(30), OTHER))
    rng = np.random.default_rng(1)
    passages = [("film", f"p{n}", "a red bridge at night") for n in range(40)] + [
        (item_id(n), f"p{part}", " ".join(rng.choice(WORDS, rng.integers(1, 12))))
        for n in range(80)
        for part in range(1 + n % 3)
    ]
    store.passages.upsert([passage(*each) for each in passages])
    return store


def passage(item: str, segment: str, text: str) -> dict[str, Any]:
    made = row(item, segment, 0, region="us" if item == item_id(61) else "eu")
    return toy.passage(made, text)


def opened(store: Store) -> LanceEngine:
    encoders = {"visual": ModelChoice("toy", MODEL), "caption": ModelChoice("other", OTHER)}
    return LanceEngine(store, build(store, encoders, 20_000, {}))


def run(work: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(work())


def test_the_tables_and_their_mirror_answer_alike(store: Store) -> None:
    async def work() -> None:
        tables = opened(store)
        await tables.open()
        mirror = await Mirror.built(tables, MUCH)
        assert mirror.covers == {"visual", "caption", "bm25"}
        wheres = (None, "kind = 'video'", "region = 'us'", "item_id < 'item-0007'", "kind = '?'")
        hidden = (frozenset[str](), frozenset({"film", item_id(3), "unknown"}))
        for where, gone, channel in product(wheres, hidden, ("visual", "caption")):
            for limit, items in ((10, 1), (10, 5), (200, 10)):
                asked = (channel, 2 * vector(3), Allowed(where, gone), limit, items)
                theirs, ours = await tables.nearest(*asked), await mirror.nearest(*asked)
                assert {each: hit.value for each, hit in theirs.items()} == near(ours)
                assert await told(mirror, channel, ours) == await told(tables, channel, theirs)
        again = await mirror.nearest("visual", vector(3), Allowed(wheres[1]), 10)
        assert set(again) == {"film"}
        every = ["film", "still", "unknown", *map(item_id, range(80))]
        for channel in ("visual", "caption"):
            theirs = await tables.similarity(channel, vector(5), every)
            ours = await mirror.similarity(channel, vector(5), every)
            assert {each: hit.value for each, hit in theirs.items()} == near(ours)
            assert "still" not in ours and item_id(5) in ours
            nothing = np.zeros(DIMENSION, np.float32)
            assert not await mirror.nearest(channel, nothing, Allowed(), 10)
            assert not await mirror.similarity(channel, nothing, every)
            assert not await mirror.similarity(channel, vector(5), [])

    run(work)


def test_passages_score_as_in_the_tables(store: Store) -> None:
    async def work() -> None:
        tables = opened(store)
        await tables.open()
        mirror = await Mirror.built(tables, MUCH)
        texts = (
            "red bridges",
            "Night, night-BRIDGE!",
            "dog",
            "the",
            "nothing",
            "café walk dog dog",
        )
        wheres = (None, "region = 'us'", "item_id < 'item-0020'")
        hidden = (frozenset[str](), frozenset({"film", item_id(3)}))
        for text, where, gone in product(texts, wheres, hidden):
            for limit, items in ((1_000, 1), (10, 4)):
                asked = (text, Allowed(where, gone), limit, items)
                theirs, ours = await tables.match(*asked), await mirror.match(*asked)
                values = sorted(hit.value for hit in theirs.values())
                assert values == pytest.approx(sorted(hit.value for hit in ours.values()), abs=1e-3)
                assert not gone & ours.keys()
                for engine, found in ((mirror, ours), (tables, theirs)):
                    for each, passage in (await told(engine, "bm25", found)).items():
                        assert passage["item_id"] == each and passage["text"]
        assert mirror.passages is not None
        assert {"dog", "nothing"} <= mirror.passages.words.keys()

    run(work)


def test_a_text_of_many_new_words_is_told_as_the_table_tells_it(store: Store) -> None:
    # After some writes and removals, no row's id is its number.
    for part in range(3):
        store.passages.upsert([passage(f"late-{part}", "p0", f"a dog called word{part}")])
    store.passages.remove(["film#p0", "film#p1"])

    async def work() -> None:
        tables = opened(store)
        await tables.open()
        mirror = await Mirror.built(tables, MUCH)
        assert mirror.passages is not None
        many = " ".join(f"word{n}" for n in range(50)) + " dog"
        found = await mirror.match(many, Allowed(), 1_000)
        assert "word0" not in mirror.passages.words
        shown = await told(mirror, "bm25", found)
        for part in range(3):
            assert shown[f"late-{part}"]["text"] == f"a dog called word{part}"
        assert all(shown[each]["item_id"] == each for each in shown)

    run(work)


def test_what_does_not_fit_is_asked_on_disk(store: Store) -> None:
    async def work() -> None:
        tables = opened(store)
        await tables.open()
        whole = await Mirror.built(tables, MUCH)
        for budget, covers in (
            (whole.nbytes, {"visual", "caption", "bm25"}),
            (whole.nbytes - 1, {"caption", "bm25"}),
            (0, set[str]()),
        ):
            mirror = await Mirror.built(tables, budget)
            assert mirror.covers == covers and mirror.nbytes <= budget
            found = await mirror.nearest("visual", vector(7), Allowed("region = 'eu'"), 3)
            assert max(found, key=lambda each: found[each].value) == item_id(7)
            assert set(await mirror.similarity("visual", vector(7), [item_id(8)])) == {item_id(8)}

    run(work)


def test_what_stayed_is_taken_over(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> None:
        first = opened(store)
        await first.open()
        before = await Mirror.built(first, MUCH)
        only_eu = Allowed("region = 'eu'")
        assert item_id(200) not in await before.nearest("caption", vector(200), only_eu, 5)
        store.channel("caption", OTHER).upsert(rows([200], OTHER))
        second = opened(store)
        await second.open()
        with monkeypatch.context() as patch:
            patch.setattr(module.Vectors, "__init__", None)
            after = await Mirror.built(second, MUCH, before)
        assert after.held["visual"] is before.held["visual"]
        assert after.passages is before.passages is not None
        assert after.held["caption"] is not before.held["caption"]
        assert item_id(200) in await after.nearest("caption", vector(200), only_eu, 5)
        assert item_id(200) not in await before.nearest("caption", vector(200), only_eu, 5)
        store.channel("caption", OTHER).open(write=True).delete(f"item_id = '{item_id(3)}'")
        store.passages.open(write=True).delete(f"item_id = '{item_id(3)}'")
        third = opened(store)
        await third.open()
        last = await Mirror.built(third, MUCH, after)
        assert last.passages is not after.passages
        for one in (last, await Mirror.built(third, MUCH)):
            assert item_id(3) not in await one.nearest("caption", vector(3), only_eu, 40)
            assert item_id(200) in await one.nearest("caption", vector(200), only_eu, 5)
            found = await one.match("bridge", only_eu, 1_000)
            assert item_id(3) not in found and "film" in found
            assert "bridge" in (await told(one, "bm25", found))["film"]["text"]

    run(work)


def test_what_was_found_in_several_looks_joins() -> None:
    def found(*ids: str) -> Found:
        return Found.of(ids, np.arange(len(ids)), np.array([ord(each) for each in ids]))

    joined = Found()
    joined.add(found("a", "b"))
    joined.add(found("b", "c", "d"))
    best = found("d", "e")
    best.add(joined)
    best.add(found("c", "f"))
    assert [*best] == ["d", "e", "a", "b", "c", "f"]
    assert [chr(best[each].row) for each in best] == [*best]
    assert best["c"].value == 1 and best["f"].value == 1


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), exact_rows=st.sampled_from([8, 100]))
def test_rows_that_stayed_are_found_as_if_all_were_read_anew(seed: int, exact_rows: int) -> None:
    rng = np.random.default_rng(seed)
    keys = np.array([f"k{each}" for each in range(60)])
    recipes, vectors = np.zeros(60, int), units(rng, 60)
    channel, now = None, rng.random(60) < 0.8
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "EXACT_ROWS", exact_rows)
        for _ in range(4):
            # Compaction may give any row another id.
            row_ids = rng.permutation(60)[now]
            table = marked(keys[now], row_ids, recipes[now])
            numbers = channel.numbered_on(table) if channel else None
            before, numbers = (channel, numbers) if numbers else (None, Numbers(table))
            new = np.flatnonzero(now)[np.argsort(row_ids)]
            new = new[np.searchsorted(np.sort(row_ids), numbers.new)]
            columns: dict[str, Any] = {name: pa.nulls(len(new), pa.string()) for name in PLACE}
            columns |= {"item_id": keys[new], "uri": recipes[new].astype(str)}
            rows = Rows(numbers, pa.table(columns), before.rows if before else None)
            channel = HeldChannel(rows, vectors[new], before)

            query, share = units(rng, 1)[0].astype(np.float32), rng.random(now.sum()) < 0.7
            found = channel.nearest(query, channel.selected(row_ids[share]), 10, 10)
            allowed = now.copy()
            allowed[now] = share
            assert best(keys, vectors, query, allowed, 10, 10) == near(found)
            scored = channel.similarity(query, keys.tolist())
            assert best(keys, vectors, query, now, 60, 60) == near(scored)
            for item, hit in scored.items():
                [told_of] = channel.rows.told([hit.row])
                assert told_of["uri"] == str(recipes[keys == item][0])

            changed = rng.random(60) < 0.04
            recipes[changed] += 1
            vectors[changed] = units(rng, changed.sum())
            now ^= rng.random(60) < 0.04


def test_many_may_ask_at_once() -> None:
    rng = np.random.default_rng(0)
    names, vectors = np.arange(2_000).astype(str), units(rng, 2_000)
    channel = held(names, vectors, np.arange(2_000))
    selection = channel.selected(np.arange(1_000))
    with ThreadPoolExecutor(8) as threads:
        asked = vectors[:200].astype(np.float32)
        found = threads.map(lambda each: channel.nearest(each, selection, 5, 1), asked)
        assert [next(iter(each)) for each in found] == names[:200].tolist()
