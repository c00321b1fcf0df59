"""From raw similarities to one ranked list of all candidates."""

import asyncio
from dataclasses import replace

from pipelines.search import catalog
from pipelines.search.fusion.profiles import PROFILES
from pipelines.search.fusion.scores import fuse, ids_of
from pipelines.search.retrieval import Retrieval
from pipelines.search.weighing import kinds, modality, on_scale, shares_of, similarities


class Fuse:
    """Puts similarities on the profile's scale, weighs them and adds them up."""

    name = "fuse"

    async def run(self, asked: Retrieval) -> None:
        """Leave similarities, evidence, weights and the ranking."""
        profile = PROFILES[asked.profile]
        if not profile.recency:
            profile = replace(profile, recency=asked.settings.recency)
        asked.similarities = similarities(asked, asked.candidates)
        asked.evidence = on_scale(asked, asked.similarities, profile)
        asked.weights = shares_of(asked, profile)
        days = None
        if profile.recency:
            found = asked.evidence.ids
            days = await asyncio.to_thread(catalog.ages, asked.searcher.store, found, asked.at)
        ranked = fuse(
            asked.evidence,
            asked.weights,
            profile,
            days,
            modality(asked.query),
            await kinds(asked, profile, asked.evidence.ids),
        )
        known = {*ids_of(asked.settled)}
        others = (entry for entry in ranked if entry.item_id not in known)
        asked.ranked = [*asked.settled, *others] if known else ranked
