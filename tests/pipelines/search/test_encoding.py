"""What a query is encoded to, and when no model has to be asked for it."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import pytest
from toy import MODEL, OTHER, picture, use, vector

from pipelines.models.protocols import Identity
from pipelines.releases.manifest import ChannelVersion
from pipelines.search.asked.encoding import ChannelEncoders
from pipelines.search.asked.query import Query
from pipelines.search.caches import Cache, MemoryCache


def channel(spec: str, identity: Identity) -> ChannelVersion:
    rows = {"version": 1, "rows": 1, "items": 1, "indexed": False}
    known: dict[str, Any] = {"spec": spec, "identity": asdict(identity), **rows}
    return ChannelVersion(table=spec, **known)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Callable[[Cache | None], ChannelEncoders]:
    use(monkeypatch)
    channels = {"visual": channel("toy", MODEL), "caption": channel("other", OTHER)}
    return lambda cache: ChannelEncoders({**channels, "audio": channel("toy", MODEL)}, cache)


def test_what_was_encoded_before_is_remembered(
    opened: Callable[[Cache | None], ChannelEncoders],
) -> None:
    encoders = opened(MemoryCache())
    one, other = Query("1"), Query("2")
    only_visual = Query("2", channels=("visual",))
    assert not encoders.remembers(one)

    probes = encoders.encode(one).probes
    encoders.encode(only_visual)

    assert probes.keys() == {"visual", "caption"}
    assert (probes["visual"].vector == vector(1)).all()
    assert encoders.remembers(one) and encoders.remembers(only_visual)
    assert not encoders.remembers(other)
    assert not encoders.remembers(Query("1", image=picture(1)))

    without = opened(None)
    without.encode(one)
    assert not without.remembers(one)
