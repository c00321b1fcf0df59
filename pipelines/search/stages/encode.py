"""The query's vectors: one for each channel that can be asked with what is present."""

import asyncio
from dataclasses import replace

from pipelines.channels import CHANNELS
from pipelines.errors import BadInput
from pipelines.search.asked.encoding import ChannelEncoders, Encoded, Probe
from pipelines.search.asked.query import Query
from pipelines.search.fusion.one_vector import mean_vector
from pipelines.search.fusion.profiles import PROFILES
from pipelines.search.retrieval import Retrieval

_ONE = ("text", "image")  # the vector of a clip is twice as wide


class Encode:
    """Encodes what is present, and nothing else.

    Raises BadInput, with the reasons, where there is nothing left to ask this release with.
    """

    name = "encode"

    async def run(self, asked: Retrieval) -> None:
        """Encode with the very models of the release."""
        if asked.given is not None:
            asked.encoded = asked.given
            return
        query, searcher = asked.query, asked.searcher
        encode = _as_one if PROFILES[asked.profile].one_vector else ChannelEncoders.encode
        if searcher.encoders.remembers(query):
            encoded = encode(searcher.encoders, query)
        else:
            encoded = await asyncio.to_thread(encode, searcher.encoders, query)
        encoded.degraded[:0] = query.degraded
        asked.trace[-1].parts |= encoded.ms
        asked.encoded = encoded
        if not encoded.probes and not asked.asks_words:
            reasons = [f"{each.name}: {each.reason}" for each in encoded.degraded]
            if not reasons:
                has = ", ".join(searcher.manifest.channels) or "no channel"
                reasons = [f"it has {has}, and none can be asked with this: ask with other media"]
            raise BadInput("; ".join(["nothing is left to ask this release with", *reasons]))


def _as_one(encoders: ChannelEncoders, query: Query) -> Encoded:
    """Ask every channel of words and pictures with the one mean vector of both.

    Raises BadInput where their models do not share a space.
    """
    asked = tuple(
        name for name, each in CHANNELS.items() if each.encoder in _ONE and query.asks(name)
    )
    if not asked:
        raise BadInput("one vector is asked for in channels of texts and pictures; name one")
    words = encoders.encode(replace(query, channels=asked, image=None, clip=(), sound=None))
    shown = encoders.encode(replace(query, channels=asked, text=None, guess=None, sound=None))
    parts = {
        (encoders.spec(name), probe.medium): probe.vector
        for encoded in (words, shown)
        for name, probe in encoded.probes.items()
    }
    vector = mean_vector([(spec, vector) for (spec, _), vector in parts.items()])
    probes = {
        name: Probe(vector, probe.medium) for name, probe in (words.probes | shown.probes).items()
    }
    degraded = list(dict.fromkeys([*words.degraded, *shown.degraded]))
    return Encoded(probes, degraded, words.ms | shown.ms)
