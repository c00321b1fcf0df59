"""Asking by items that are indexed already: their own vectors, channel by channel."""

import asyncio
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

import numpy as np

from pipelines.channels import CHANNELS
from pipelines.search.asked.encoding import Encoded, Medium, Probe
from pipelines.search.asked.query import Query

if TYPE_CHECKING:
    from pipelines.search.searcher import Searcher

_MEDIA: dict[str, Medium] = {
    "image": "pictures",
    "clip": "pictures",
    "sound": "sound",
    "text": "text",
}


async def probes_of(
    searcher: "Searcher",
    item_ids: Collection[str],
    query: Query,
    weights: Mapping[str, float] | None = None,
) -> Encoded:
    """Return the mean of some items' vectors in every channel that the query asks.

    Each item counts alike or by its weight, however many rows it has; a channel that none of them
    has is left out.
    """
    await searcher.tables.open()
    names = [name for name in searcher.manifest.channels if query.asks(name)]
    found = await asyncio.gather(*(searcher.tables.vectors(name, item_ids) for name in names))
    probes = {}
    for name, vectors in zip(names, found, strict=True):
        if not vectors:
            continue
        mean = np.average(
            [each.mean(axis=0) for each in vectors.values()],
            axis=0,
            weights=[weights[item_id] for item_id in vectors] if weights else None,
        )
        if (length := float(np.linalg.norm(mean))) > 0:
            probes[name] = Probe(mean / length, _MEDIA[CHANNELS[name].encoder])
    return Encoded(probes, like=tuple(item_ids))
