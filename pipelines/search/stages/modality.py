"""What was uploaded, told from its bytes: text, picture, sound or film."""

import asyncio

from pipelines.errors import BadInput
from pipelines.search.asked.media import with_upload
from pipelines.search.asked.query import Query
from pipelines.search.retrieval import Retrieval


class DetectModality:
    """Decodes uploads into the query. Raises BadInput when nothing is left to ask with."""

    name = "detect_modality"

    async def run(self, asked: Retrieval) -> None:
        """Take in the uploads."""
        if asked.uploads:
            asked.query = await asyncio.to_thread(_with_uploads, asked)
        if asked.query.is_empty and asked.given is None:
            reasons = "; ".join(each.reason for each in asked.query.degraded)
            raise BadInput(reasons or "give a text, an image, a sound or a film to search by")


def _with_uploads(asked: Retrieval) -> Query:
    query = asked.query
    for upload in asked.uploads:
        query = with_upload(query, upload, asked.settings)
    return query
