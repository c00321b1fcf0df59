"""First: the text composed and spaced alike, a bounded picture, the filter compiled."""

from dataclasses import replace

from pipelines.channels import CHANNELS
from pipelines.errors import BadInput
from pipelines.search.asked.filters import compile_filter
from pipelines.search.asked.query import PLANS
from pipelines.search.engines.lance import both
from pipelines.search.fusion import profiles
from pipelines.search.retrieval import Retrieval

_SIDE = 1600  # pixels: no model looks closer


class Normalise:
    """Makes queries that say the same the same. Raises BadInput for one that cannot be asked."""

    name = "normalise"

    async def run(self, asked: Retrieval) -> None:
        """Normalise the query and narrow what is allowed to what passes its filter."""
        query = asked.query
        if query.plan not in PLANS:
            raise BadInput(f"there is no such plan; choose {', '.join(PLANS)}")
        if set(query.channels) - CHANNELS.keys() - {profiles.BM25}:
            named = ", ".join((*CHANNELS, profiles.BM25))
            raise BadInput(f"there is no such channel; choose of {named}")
        image = query.image
        if image is not None and max(image.size) > _SIDE:
            image = image.copy()
            image.thumbnail((_SIDE, _SIDE))
        reranker = query.reranker or asked.settings.reranker
        asked.query = replace(query, text=query.typed, image=image, reranker=reranker)
        asked.profile = profiles.choose(asked.query)
        if query.where:
            where = both(compile_filter(query.where), asked.allowed.where)
            asked.allowed = replace(asked.allowed, where=where)
