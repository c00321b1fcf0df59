"""Whoever asks what, in whichever way: nothing is told of what they may not see, and all else is.

Each of sixty items has rights of its own; those of some changed after the release was made, and
some may be shown to nobody. What is right is worked out in Python.
"""

import asyncio
import json
import zlib
from collections.abc import Iterator, Sequence, Set
from dataclasses import replace
from functools import cache
from random import Random
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest
import toy
from asking import TEXTS, Asked, Row, may_see, random_filter

from pipelines.answering.passages import read_passages
from pipelines.answering.questions import answer
from pipelines.models import factory
from pipelines.models.protocols import ModelChoice
from pipelines.models.suite import ModelSuite
from pipelines.outcomes import now
from pipelines.releases.publish import publish
from pipelines.rights import Caller
from pipelines.search.asked.query import AUTO, PLANS, Query
from pipelines.search.fusion.profiles import PROFILES
from pipelines.search.hops import Hop
from pipelines.search.service import Document, SearchService
from pipelines.settings import Settings
from pipelines.store import Store
from pipelines.tables.schemas import ATTRIBUTES
from pipelines.tables.vectors import unit

COUNT = 60
PARTS = 5  # of an item that are seen: enough of all for a vector index
WORDS = ("bridge", "harbour", "lantern", "orchard", "violin", "glacier", "meadow", "furnace")
DOMAINS = WORDS[:5]
KINDS = ("text", "image", "video")
REGIONS = (None, "eu", "us", "global")
ACCESS = (None, None, ["press"], ["sales"], ["press", "sales"])
CHANNELS: tuple[tuple[str, ...], ...] = ((), (), (), ("visual",), ("bm25",), ("ocr", "bm25"))
CALLERS = [
    None,
    *(
        Caller(user="ana", region=region, groups=frozenset(groups))
        for region in (None, "eu", "us")
        for groups in ((), ("press",), ("sales", "press"))
    ),
]


class Encoder(toy.Toy):
    """Of texts: the mean of what their words are about."""

    def encode_texts(self, texts: list[str]) -> np.ndarray:
        return np.stack([about(*text.split()) for text in texts])


def about(*words: str) -> np.ndarray:
    return unit(sum(toy.vector(zlib.crc32(word.encode())) for word in words))


class Item(NamedTuple):
    """What a release knows of an item, what is known by now, and whether it may be shown at all."""

    then: Row
    now: Row
    is_gone: bool


def made(random: Random) -> dict[str, Item]:
    items = {}
    for number in range(COUNT):
        price = random.choice((None, 7, 7.5, "7.5", "cheap", True))
        flag = random.choice((True, False, "true", "no", 1, None))
        extra = {"note": random.choice((*TEXTS, None, 5)), "price": price, "flag": flag}
        then = {
            "kind": random.choice(KINDS),
            "domain": random.choice((*DOMAINS, *DOMAINS, None)),
            "product_family": toy.item_id(number),
            "region": random.choice(REGIONS),
            "access": random.choice(ACCESS),
            "title": random.choice((None, "", *TEXTS)),
            "tags": random.choice((None, [], random.sample(TEXTS, 2))),
            "width": random.choice((None, 0, 7, 640)),
            "size": random.choice((None, 1, 2**31, 2**40)),
            "extra": random.choice((None, extra, extra)),
        }
        changed = {"region": random.choice(REGIONS), "access": random.choice(ACCESS)}
        known = then | changed if number % 6 == 0 else then
        items[toy.item_id(number)] = Item(then, known, number % 20 == 1)
    return items


ITEMS = made(Random(3))
FILTERS: dict[Caller | None, list[Asked]] = {
    caller: [random_filter(random) for _ in range(4)]
    for random in [Random(11)]
    for caller in CALLERS  # few for each, since each filter costs an engine in memory a scan
}


@cache
def known_to(caller: Caller | None) -> frozenset[str]:
    """The items that a caller may see by now."""
    shown = {i for i, each in ITEMS.items() if may_see(caller, each.now) and not each.is_gone}
    return frozenset(shown)


@cache
def seen_by(caller: Caller | None, asked: Asked | None = None) -> frozenset[str]:
    """What a release shows to a caller: rights of then and of now, of what passes a filter."""
    rows = {i: ITEMS[i].then for i in known_to(caller) if may_see(caller, ITEMS[i].then)}
    return frozenset(i for i in rows if asked is None or asked.says(rows[i]) is True)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    home = Settings(
        home=tmp_path_factory.mktemp("home"), index_rows=256, refuse_nonsense=False, live_keys=()
    )
    with pytest.MonkeyPatch.context() as patch:
        toy.use(patch)
        for job in ("text_encoder", "image_encoder"):
            patch.setattr(factory, job, Encoder)
        private = SimpleNamespace(find=lambda *_, **__: [])
        patch.setattr(ModelSuite, "detector", lambda suite: private)
        stock(Store(home.root), home)
        yield home


def stock(store: Store, settings: Settings) -> None:
    """Publish the items, and let change afterwards what changes."""
    random = Random(5)
    facts = {i: fact(i, item.then) for i, item in ITEMS.items()}
    store.items.append([*facts.values()])
    rows, written, passages = [], [], []
    for item_id, item in ITEMS.items():
        domain = item.then["domain"] or random.choice(WORDS)
        extra = item.then["extra"] and json.dumps(item.then["extra"])
        for part in range(PARTS):
            vector = about(domain, domain, f"{item_id} {part}")
            row = toy.row(item_id, f"p{part}", 0, vector=vector, **item.then | {"extra": extra})
            rows.append(row)
        text = " ".join(random.choices(WORDS, k=random.randint(2, 5)))
        shown = {name: row[name] for name in row if name in (*ATTRIBUTES.names, "key", "batch")}
        passages.append(shown | {"segment": "p0", "source": "ocr", "text": text, "recipe": "r"})
        written.append(row | {"vector": about(*text.split())})
    store.channel("visual", toy.MODEL).upsert(rows)
    store.channel("ocr", toy.MODEL).upsert(written)
    store.passages.upsert(passages)
    choice = ModelChoice("toy", toy.MODEL)
    manifest = publish(store, {"visual": choice, "ocr": choice}, settings).manifest
    assert manifest.channels["visual"].indexed and not manifest.channels["ocr"].indexed
    moved = [i for i, item in ITEMS.items() if item.now is not item.then]
    named = ", ".join(f"'{item_id}'" for item_id in moved)
    store.items.replace(f"item_id IN ({named})", [fact(i, ITEMS[i].now) for i in moved])
    toy.erase(store, *(i for i, item in ITEMS.items() if item.is_gone))


def fact(item_id: str, row: Row) -> Row:
    extra = row["extra"] and json.dumps(row["extra"])
    known = {"item_id": item_id, "batch": "b", "origins": [], "deleted": False}
    return row | known | {"extra": extra, "registered_at": now(), "updated_at": now()}


class Case(NamedTuple):
    """One question at random, who asks it, and who comes later."""

    query: Query
    asked: Asked | None
    caller: Caller | None
    other: Caller | None
    item_id: str
    kinds: Sequence[str]

    @property
    def expected(self) -> frozenset[str]:
        return seen_by(self.caller, self.asked)

    @property
    def is_whole(self) -> bool:
        """Whether the answer has to hold all that the caller may see."""
        asks_all = not self.query.channels or "visual" in self.query.channels
        return asks_all and self.query.k >= COUNT and not self.query.offset

    def holds(self, found: Sequence[str], expected: Set[str] | None = None) -> None:
        expected = self.expected if expected is None else expected
        assert len(found) == len(set(found)) and set(found) <= expected, self
        assert not self.is_whole or set(found) == expected, self


def case(random: Random) -> Case:
    caller, other = random.choices(CALLERS, k=2)
    other = caller and other  # what operators asked is for operators alone
    profile = random.choice((AUTO, AUTO, *PROFILES))
    asked = random.choice((None, None, None, *FILTERS[caller]))
    query = Query(
        " ".join(random.choices(WORDS, k=random.randint(1, 3))),
        k=random.choice((1, 5, 20, COUNT, COUNT)),
        where=asked.text if asked else None,
        profile=profile,
        plan=random.choice(PLANS),
        offset=random.choice((0, 0, 0, 4, 30)),
        diversity=random.choice((1.0, 1.0, 1.0, 1.0, 0.5)),
        reranker=random.choice(("none", "none", "none", "lexical")),
        channels=() if profile == "mean_vector" else random.choice(CHANNELS),
    )
    item_id = toy.item_id(random.randrange(COUNT))
    return Case(query, asked, caller, other, item_id, random.sample(KINDS, 2))


@pytest.mark.parametrize(("engine", "count"), [("tables", 252), ("mirror", 756)])
def test_nothing_is_told_of_what_may_not_be_seen_and_all_else_is(
    home: Settings, engine: str, count: int
) -> None:
    others = (explained, replayed, counted, alike, hopped, read)
    random, ways = Random(count), (searched, searched, searched, *others)
    assert {len(seen_by(caller)) for caller in CALLERS if caller} < {*range(1, COUNT - 10)}

    async def work() -> list[Document]:
        service = SearchService(Store(home.root), home, mirror=engine == "mirror", journal=True)
        await service.start()
        answers: list[Document | None] = []
        for _ in range(count // len(ways)):
            answers += await asyncio.gather(*(way(service, case(random)) for way in ways))
        await service.close()
        return [each for each in answers if each]

    answers = asyncio.run(work())
    assert {each["engine"] for each in answers} == {engine}
    assert any(each["domains"] for each in answers)


async def searched(service: SearchService, one: Case, **how: Any) -> Document:
    answer = await service.search(one.query, caller=one.caller, **how)
    one.holds(ids(answer["results"]))
    named = {ITEMS[each].then["domain"] for each in one.expected}
    assert set(answer["domains"] or ()) <= named, one
    return answer


async def explained(service: SearchService, one: Case) -> Document:
    """To one with other rights: an operator, the same user later, or another one."""
    answer = await searched(service, one)
    told = await service.explain(answer["query_id"], one.other)
    assert told is not None
    shown, candidates = ids(told["results"]), ids(told["candidates"])
    expected, known = one.expected, known_to(one.other)
    assert set(shown) == set(ids(answer["results"])) & known, one
    assert set(candidates) <= expected & known, one
    assert not one.is_whole or set(candidates) == expected & known, one
    return answer


async def replayed(service: SearchService, one: Case) -> Document:
    """By one with other rights: those of then and of now hold together."""
    answer = await searched(service, one)
    told = await service.replay(answer["query_id"], one.other)
    assert told is not None
    before, then = set(ids(answer["results"])), one.caller
    again = {i for i in seen_by(one.other, one.asked) if may_see(then, ITEMS[i].then)}
    missing, added = len(before - again), len(again - before)
    assert told["missing"] >= missing and told["added"] <= added, one
    assert not one.is_whole or (told["missing"], told["added"]) == (missing, added), one
    return answer


async def counted(service: SearchService, one: Case) -> Document:
    """Facets: of all that was found, whatever of it is shown."""
    answer = await searched(service, one, facets=True)
    counts = answer["facets"]
    assert counts.get("product_family", {}).keys() <= one.expected, one
    found = sum(counts.get("kind", {}).values())
    assert found <= len(one.expected), one
    assert not one.is_whole or found == len(one.expected), one
    return answer


async def alike(service: SearchService, one: Case) -> Document | None:
    item_id, known = one.item_id, known_to(one.caller)
    query = replace(one.query, text=None)
    answer = await service.similar(item_id, query, one.caller, facets=one.is_whole)
    assert (answer is not None) == (item_id in known)
    if answer is not None:
        one.holds(ids(answer["results"]), one.expected - {item_id})
        counts = answer.get("facets", {})
        assert counts.get("product_family", {}).keys() <= one.expected, one
    return answer


async def hopped(service: SearchService, one: Case) -> Document | None:
    """Over kinds of which every item passes, so that the last one that has any answers."""
    answer = await service.hops(one.query, [Hop(kind, -2.0) for kind in one.kinds], one.caller)
    of_kind = {kind: {i for i in one.expected if ITEMS[i].then["kind"] == kind} for kind in KINDS}
    if answer is None:
        assert not one.is_whole or not any(of_kind[kind] for kind in one.kinds), one
    else:
        last = next((each["kind"] for each in answer["results"]), one.kinds[0])
        one.holds(ids(answer["results"]), of_kind[last])
    return answer


async def read(service: SearchService, one: Case) -> None:
    """What items say, whichever are asked for; and an answer made of it."""
    view = await service.view(one.caller)
    passages = await read_passages(view, [*ITEMS], one.query.text or "")
    assert {each.item_id for each in passages} == seen_by(one.caller), one
    if one.item_id < toy.item_id(COUNT // 5):
        told = await answer(service, one.query, caller=one.caller)
        assert {each["item_id"] for each in told["citations"]} <= one.expected, one


def ids(results: Sequence[Document]) -> list[str]:
    return [each["item_id"] for each in results]
