"""Looking at the rest of the release, where the part that a plan looked at was not enough."""

from collections.abc import Sequence
from dataclasses import replace

from pipelines.search.plans.by_domain import is_enough
from pipelines.search.plans.cheap_first import is_clear
from pipelines.search.plans.look import Look
from pipelines.search.retrieval import Retrieval, Stage


class Widen:
    """Asks the channels that were spared, and the domains that were left out."""

    name = "widen"

    def __init__(self, again: Sequence[Stage]):
        self._again = again

    async def run(self, asked: Retrieval) -> None:
        """Look at the whole unless what was found is enough by the measure of the plan."""
        look, found = asked.look or Look(), len(asked.ranked)
        if look.is_whole or (is_clear(asked) if look.spared else is_enough(asked, look)):
            return
        if look.domains is not None:
            asked.hits = {}
        look_at_all(asked)
        for stage in self._again:
            with asked.part(stage.name):
                await stage.run(asked)
        asked.widened |= look.domains is not None and len(asked.ranked) > found


def look_at_all(asked: Retrieval) -> None:
    """Have the next search look at the whole release, in all channels that can be asked."""
    known = {**asked.encoded.probes, **(asked.look or Look()).spared}
    probes = {name: known[name] for name in asked.searcher.manifest.channels if name in known}
    asked.encoded = replace(asked.encoded, probes=probes)
    asked.look, asked.candidates = Look(), None
