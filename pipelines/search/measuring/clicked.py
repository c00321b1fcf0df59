"""Queries that people judged by clicks and verdicts, asked again, so that weights learn of them.

A click says that a result was looked at and liked, and few look far down. So what was clicked on a
rank counts by how rarely that rank is looked at (see `worth`). Who clicks most does not decide: no
user has more than a quarter of the half that teaches, or of the half that decides.

Only what was shown could be clicked, so that the ranking of then has a recall@10 of nearly 1 among
clicks, whatever it missed. What is learned is used by its nDCG@10 alone, which the same bias makes
hard enough to beat; where the policy of releases names labelled queries, these decide after it.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from math import log2
from typing import Any

from pipelines.errors import MediadexError
from pipelines.releases import log
from pipelines.releases.tuned import read_learned, write_learned
from pipelines.search import catalog
from pipelines.search.asked.encoding import Encoded
from pipelines.search.asked.query import AUTO
from pipelines.search.engines.protocol import Allowed
from pipelines.search.fusion.learning import Lesson, held_out, learn
from pipelines.search.fusion.profiles import DEFAULT
from pipelines.search.journal.feedback import Labels, labels, question_of
from pipelines.search.journal.replay import replayed_query
from pipelines.search.measuring.evaluation import DEPTH, Judged, Labelled, as_judged
from pipelines.search.measuring.logged import shared_channels
from pipelines.search.searcher import Searcher
from pipelines.search.service import SearchService
from pipelines.settings import Settings
from pipelines.store import Store

SHARE = 0.25
"""Of each half, the most that may come of one user: at least four are needed."""

_DEEPEST = 10
_Asked = tuple[Labels, Judged]


def worth(rank: int) -> float:
    """Return what a click on a rank (from 1) counts for: 1 on the first, 10 from the tenth on.

    One over the probability that the rank is looked at, for which 1 / rank is taken: inverse
    propensity weighting, Joachims, Swaminathan & Schnabel, Unbiased Learning-to-Rank with Biased
    Feedback, WSDM 2017, there with the exponent 1. Bounded, so that a few clicks do not outweigh
    all others.
    """
    return float(min(rank, _DEEPEST))


def fair(amounts: Mapping[str | None, float]) -> float:
    """Return how much may be taken of each user, so that nobody gives more than `SHARE` of it all.

    0 for fewer users than that needs.
    """
    most = max(amounts.values(), default=0.0)
    if len(amounts) * SHARE < 1:
        return 0.0
    while (less := SHARE * sum(min(each, most) for each in amounts.values())) < most * (1 - 1e-9):
        most = less
    return most


@dataclass(frozen=True)
class Clicked:
    """What clicks taught, and of how many queries.

    `judged` have feedback, `liked` some that is good. Those of which that still holds were `asked`
    again; so many `people` had asked them. `set_aside` were then left out to be fair.
    """

    lesson: Lesson
    judged: int
    liked: int
    asked: int
    people: int
    set_aside: int

    def counts(self) -> dict[str, int]:
        """Return the counts by name."""
        return {each.name: getattr(self, each.name) for each in fields(self)[1:]}

    def as_document(self) -> dict[str, Any]:
        """Write it for `--json`."""
        return self.lesson.as_document() | {"clicks": self.counts()}


def learn_from_clicks(store: Store, settings: Settings) -> Clicked:
    """Learn from the journal's clicks and verdicts; record it for the next release if it is better.

    To be called outside of an event loop. Raises NotReleased before the first release.
    """
    found = labels(store)
    liked = [each for each in found if any(each.grades.values())]
    asked = asyncio.run(_asked_again(store, settings, liked))
    halves = [[pair for pair in asked if held_out(pair[1].name) is side] for side in (False, True)]
    counted = [pair for half in halves for pair in _fairly(half)]
    people = len({each.record.user for each, _ in asked})
    if asked and not counted:
        told = f"{people} people are too few to learn from without one of them deciding"
        lesson = Lesson(None, [], [], f"{told}; {round(1 / SHARE)} are needed in each half")
    else:
        worths = [value for _, value in counted]
        examples = [each for each, _ in counted]
        lesson = learn(examples, worths, read_learned(store), keeps_recall=False)
    if lesson.learned:
        write_learned(store, lesson.learned)
    aside = len(asked) - len(counted)
    return Clicked(lesson, len(found), len(liked), len(asked), people, aside)


def _fairly(asked: Sequence[_Asked]) -> list[tuple[Judged, float]]:
    """Return the newest queries of each user, as many as is fair, with what each counts for.

    That is scaled so that it is fair to all users, too.
    """
    most = fair(Counter(each.record.user for each, _ in asked))
    taken: Counter[str | None] = Counter()
    totals: dict[str | None, float] = defaultdict(float)
    kept = []
    for each, judged in sorted(asked, key=lambda pair: pair[0].record.at, reverse=True):
        user = each.record.user
        if taken[user] + 1 <= most:
            taken[user] += 1
            totals[user] += _worth(each)
            kept.append((user, judged, _worth(each)))
    bound = fair(totals)
    return [(judged, value * min(1.0, bound / totals[user])) for user, judged, value in kept]


def _worth(found: Labels) -> float:
    """Return what a query counts for: the mean over what was liked."""
    values = [worth(found.ranks[item]) for item, grade in found.grades.items() if grade]
    return sum(values) / len(values)


async def _asked_again(store: Store, settings: Settings, found: Sequence[Labels]) -> list[_Asked]:
    """Ask the serving release with the vectors and rights of then, by the default weights.

    Left out are queries whose vectors are of other encoders, that cannot be asked any more, or that
    take another profile than the default one; and items that who asked may not see any more.
    """
    service = SearchService(store, settings)
    serving = (await service.view()).searcher.manifest
    manifest = serving.model_copy(update={"learned": None})
    searcher, past, judged = Searcher(store, manifest, settings), log.manifests(store), []
    items = {item for each in found for item in each.grades}
    known: dict[Allowed, set[str]] = {}
    for each in found:
        query, encoded, caller = replayed_query(each.record)
        view = await service.view(caller)
        if view.known not in known:
            known[view.known] = catalog.shown(store, items, view.known)
        same = shared_channels(past.get(each.record.release), manifest)
        probes = {name: probe for name, probe in encoded.probes.items() if name in same}
        shown = {item: grade for item, grade in each.grades.items() if item in known[view.known]}
        left = replace(each, grades=shown)
        if not probes or not any(left.grades.values()):
            continue
        query = replace(
            query, profile=AUTO, plan="parallel", k=DEPTH, offset=0, diversity=1.0, reranker="none"
        )
        try:
            asked = await searcher.answer(query, view.allowed, given=Encoded(probes))
        except MediadexError:
            continue
        if asked.profile != DEFAULT:
            continue
        relevant = {
            item: log2(1 + (2**grade - 1) * worth(left.ranks[item]))
            for item, grade in left.grades.items()
        }
        name = query.literal or question_of(each.record)
        judged.append((left, as_judged(Labelled(name, {}, relevant, None), relevant, "", asked)))
    return judged
