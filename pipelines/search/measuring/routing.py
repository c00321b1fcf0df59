"""What asking some domains alone finds of what asking all of them does."""

import statistics
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from pipelines.search.asked.query import Query
from pipelines.search.engines.protocol import Allowed
from pipelines.search.fusion.scores import ids_of
from pipelines.search.searcher import Searcher


async def routing(searcher: Searcher, allowed: Allowed, queries: Sequence[Query]) -> dict[str, Any]:
    """Compare the plan `by_domain` with `parallel` on some queries, by their first `k` items.

    `recall` is the mean share of the items of `parallel` that are found. `domains` has it by the
    domain of these items, of all queries together (`null` for items without one), with how many
    there were. `asked` is the mean number of domains that a query was asked in, of `of`; `routed`
    the share of queries for which that was not all of them.
    """
    rows = searcher.store.items.rows(["item_id", "domain"], "deleted = false")
    domain_of = {row["item_id"]: row["domain"] for row in rows}
    hits: dict[str | None, list[bool]] = defaultdict(list)
    shares, asked = [], []
    for query in queries:
        every, some = [
            await searcher.answer(replace(query, plan=plan), allowed)
            for plan in ("parallel", "by_domain")
        ]
        found = {*ids_of(some.ranked)[: query.k]}
        sought = ids_of(every.ranked)[: query.k]
        for item_id in sought:
            hits[domain_of.get(item_id)].append(item_id in found)
        if sought:
            shares.append(len(found.intersection(sought)) / len(sought))
        asked.append(some.look.domains if some.look else None)
    count = len((await searcher.router()).domains)
    return {
        "queries": len(queries),
        "recall": statistics.fmean(shares) if shares else None,
        "routed": statistics.fmean(each is not None for each in asked) if asked else None,
        "asked": statistics.fmean(count if each is None else len(each) for each in asked)
        if asked
        else None,
        "of": count,
        "domains": {
            name: {"items": len(each), "recall": statistics.fmean(each)}
            for name, each in sorted(hits.items(), key=lambda pair: pair[0] or "")
        },
    }
