"""The plan `by_domain`: a root router chooses the domains in which a query is asked.

A domain is scored like an item whose rows are its centroids, by the profile of the query, so that
the scores of both compare.
"""

from dataclasses import replace

from pipelines.search.fusion.profiles import PROFILES
from pipelines.search.fusion.scores import fuse
from pipelines.search.plans.look import Look, match_of
from pipelines.search.retrieval import Retrieval
from pipelines.search.routing import Shards
from pipelines.search.weighing import on_scale, shares_of

NEAR = 0.5
"""Of the best domain's score: what another one needs so as to be asked too."""
FAR = 0.015
"""Where the best domain scores less, the question is on something that no domain is about."""


async def chosen(asked: Retrieval) -> Look:
    """Return the domains to ask; all where none is near, or more than half are as near as the best.

    Nor is a release parted whose channels have no more rows than are asked of one domain. Domains
    and rows that may not answer count as if they were not there.
    """
    probes = asked.encoded.probes
    # A release that is too small as a whole needs no router.
    if all(asked.searcher.manifest.channels[name].rows <= asked.shard_rows for name in probes):
        return Look()
    router = await asked.searcher.router()
    if not router.domains:
        return Look()
    there = {name: await router.shards(name, asked.allowed) for name in probes}
    if not any(is_parted(asked, shards) for shards in there.values()):
        return Look()
    profile = replace(PROFILES[asked.profile], recency=0.0, modalities={})
    evidence = on_scale(asked, router.evidence(probes, there), profile)
    ranked = fuse(evidence, shares_of(asked, profile), profile)
    if not len(ranked) or (profile.rule == "mean" and ranked.scores[0] < FAR):
        return Look()
    near = int((ranked.scores >= NEAR * ranked.scores[0]).sum())
    if near > len(evidence) / 2:
        return Look()
    missed = ranked.scores[near] if near < len(ranked) else 0.0
    return Look(domains=tuple(ranked.ids[:near]), missed=float(missed))


def is_parted(asked: Retrieval, shards: Shards) -> bool:
    """Tell whether a channel has more rows than are asked of one domain."""
    return sum(shards.values()) > asked.shard_rows


def is_enough(asked: Retrieval, look: Look) -> bool:
    """Tell whether there are `k`, as good as the best domain left out; the same for every page."""
    if len(asked.ranked) < asked.query.k:
        return False
    return match_of(asked.ranked[asked.query.k - 1]) >= look.missed
