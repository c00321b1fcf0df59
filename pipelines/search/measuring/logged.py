"""The vectors that people asked with lately, as queries to measure by."""

import json

import numpy as np
import pyarrow as pa

from pipelines.releases.log import manifests
from pipelines.releases.manifest import Manifest
from pipelines.store import Store
from pipelines.tables.facts import select

_ROWS = pa.schema(
    [("release", pa.string()), ("probes", pa.string()), ("vectors", pa.list_(pa.binary()))]
)


def logged_vectors(store: Store, manifest: Manifest, newest: int = 2000) -> dict[str, np.ndarray]:
    """Return what the `newest` queries asked each channel with, (n, width) float32, each once.

    Only those that were asked of a table which the given release has too.
    """
    sql = f"SELECT * FROM queries WHERE repeats IS NULL ORDER BY at DESC LIMIT {newest:d}"
    rows = select(sql, _ROWS, queries=store.queries).to_pylist()
    past = manifests(store) if rows else {}
    found: dict[str, dict[bytes, None]] = {}
    for row in rows:
        same = shared_channels(past.get(row["release"]), manifest)
        for channel, probe in json.loads(row["probes"]).items():
            if channel in same:
                found.setdefault(channel, {})[row["vectors"][probe["vector"]]] = None
    return {
        channel: np.stack([np.frombuffer(each, np.float32) for each in vectors])
        for channel, vectors in found.items()
    }


def shared_channels(then: Manifest | None, now: Manifest) -> set[str]:
    """Return the channels whose vectors of then still say something: of the same encoder."""
    past = then.channels if then else {}
    return {
        name
        for name, channel in now.channels.items()
        if name in past and past[name].table == channel.table
    }
