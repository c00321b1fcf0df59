"""The forms in which a query comes in: the same choices, with a text, media in JSON, or a file."""

import base64
import binascii
from dataclasses import replace
from typing import Annotated

from fastapi import Path, UploadFile
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from pipelines.answering.pictured import MOST_PICTURES
from pipelines.answering.questions import MOST_ITEMS
from pipelines.errors import BadInput
from pipelines.search.asked.filters import MAX_LENGTH
from pipelines.search.asked.media import MOST_CHARACTERS, Kind, Upload, in_memory
from pipelines.search.asked.query import AUTO, Plan, Query, Reranker
from pipelines.search.hops import HOPS
from pipelines.search.journal.feedback import Kind as Opinion

MOST_RESULTS = 200
MOST_SKIPPED = 1_000
_MOST_BASE64 = 64 << 20

_NO_NUL = r"^[^\x00]*$"
Text = Annotated[str, StringConstraints(max_length=MOST_CHARACTERS, pattern=_NO_NUL)]
Name = Annotated[str, StringConstraints(max_length=64, pattern=_NO_NUL)]
Media = Annotated[str, StringConstraints(max_length=_MOST_BASE64)]
ItemId = Annotated[
    str, Path(min_length=1, max_length=1024, pattern=_NO_NUL, description="It may hold slashes.")
]


class Options(BaseModel):
    """How to answer, whatever is asked with."""

    model_config = ConfigDict(extra="forbid")

    k: int = Field(10, ge=1, le=MOST_RESULTS, description="How many results.")
    offset: int = Field(0, ge=0, le=MOST_SKIPPED, description="How many results to skip.")
    where: str | None = Field(
        None,
        max_length=MAX_LENGTH,
        description="A condition on attributes.",
        examples=["region = 'eu' AND price < 20"],
    )
    profile: Name = Field(AUTO, description="Weights of the channels.", examples=[AUTO])
    plan: Plan = Field(
        "parallel", description="Which channels and passages are asked, and in which order."
    )
    diversity: float = Field(
        1.0, ge=0, le=1, description="From 1, relevance alone, down to 0, all different."
    )
    reranker: Reranker | None = Field(None, description="As the server is set when not given.")
    channels: list[Name] = Field([], max_length=20, description="Those to ask; all when empty.")
    facets: bool = Field(False, description="Whether to count attributes of what was found.")

    def query(self, text: str | None = None) -> Query:
        """Return the query, without media."""
        return Query(
            text,
            k=self.k,
            offset=self.offset,
            where=self.where,
            profile=self.profile,
            plan=self.plan,
            diversity=self.diversity,
            reranker=self.reranker,
            channels=tuple(self.channels),
        )


class PagedOptions(Options):
    """How to answer what is asked for page by page."""

    prefetch: bool = Field(
        False, description="Whether to have the next page of the answer to a text ready."
    )

    def query(self, text: str | None = None) -> Query:
        """Return the query, without media."""
        return replace(super().query(text), prefetch=self.prefetch)


class TextSearch(PagedOptions):
    """A query by text."""

    text: Text = Field(examples=["storm umbrella"])


class WithMedia(BaseModel):
    """Media in base64 to ask with."""

    image: Media | None = Field(None, description="JPEG, PNG …, base64.", examples=[None])
    audio: Media | None = Field(None, description="WAV, MP3, FLAC …, base64.", examples=[None])
    video: Media | None = Field(None, description="MP4, WebM …, base64.", examples=[None])

    def uploads(self) -> list[Upload]:
        """Decode the media. Raises BadInput for what is no base64."""
        kinds: tuple[Kind, ...] = ("image", "audio", "video")
        given = ((kind, getattr(self, kind)) for kind in kinds)
        return [in_memory(_decoded(kind, data), kind) for kind, data in given if data is not None]


class MediaSearch(WithMedia, PagedOptions):
    """A query: text, media in base64, or any of them together."""

    text: Text | None = Field(None, examples=["storm umbrella"])


class Question(WithMedia):
    """A question, to be answered from the items that it finds."""

    model_config = ConfigDict(extra="forbid")

    question: Text = Field(min_length=1, examples=["How long does the trail bottle keep tea hot?"])
    k: int = Field(MOST_ITEMS, ge=1, le=MOST_ITEMS, description="How many items are read.")
    where: str | None = Field(None, max_length=MAX_LENGTH, description="A condition on attributes.")

    def query(self) -> Query:
        """Return the query, without media."""
        return Query(self.question, k=self.k, where=self.where)


class PictureSet(BaseModel):
    """Pictures and indexed items to describe together, at most eight."""

    model_config = ConfigDict(extra="forbid")

    images: list[Media] = Field([], max_length=MOST_PICTURES, description="Base64.", examples=[[]])
    items: list[Annotated[str, StringConstraints(max_length=1024, pattern=_NO_NUL)]] = Field(
        [], max_length=MOST_PICTURES, description="Their ids."
    )

    def uploads(self) -> list[Upload]:
        """Decode the pictures. Raises BadInput for what is no base64."""
        return [in_memory(_decoded("image", data), "image") for data in self.images]


class FileSearch(PagedOptions):
    """A query by a file, whose bytes tell what it is, and a text if there is one."""

    file: UploadFile = Field(description="A text, image, sound or film.")
    text: Text | None = None

    def uploads(self) -> list[Upload]:
        """Return the file."""
        return [Upload(self.file.file, self.file.filename or "")]


class HopForm(BaseModel):
    """A hop: items of a kind, at least so alike to what it is asked with."""

    model_config = ConfigDict(extra="forbid")

    kind: Name = Field(examples=["image"])
    threshold: float = Field(ge=-1, le=1, examples=[0.55])


class HopSearch(Options):
    """A query by text that goes from kind to kind."""

    text: Text = Field(examples=["storm umbrella"])
    hops: list[HopForm] = Field(
        [HopForm(kind=hop.kind, threshold=hop.threshold) for hop in HOPS],
        min_length=1,
        max_length=8,
    )


class Feedback(BaseModel):
    """What somebody made of a result."""

    model_config = ConfigDict(extra="forbid")

    query_id: Name = Field(examples=["0f9c1c2c5f7f4f0c8a3f0d3b5a6f7e21"])
    item_id: Annotated[str, StringConstraints(max_length=1024, pattern=_NO_NUL)]
    kind: Opinion = Field(examples=["click"])


def _decoded(kind: str, data: str) -> bytes:
    try:
        return base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadInput(f"the {kind} is not valid base64") from error
