"""The registry of channels: each way to look at items is one entry here, and nowhere else."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Channel:
    """One way to look at items.

    `encoder` names the model that embeds it. An image channel reads the derivatives of segments; a
    text channel reads the redacted texts of the given `sources`. `weight` is its share in the fused
    score when every channel is present (see `pipelines.search.fusion`). `after` names the step that
    makes what it reads.
    """

    name: str
    encoder: Literal["image", "text"]
    weight: float
    description: str
    sources: tuple[str, ...] = ()
    after: str = "redacted_media"


# What people wrote or what stands in the media. Captions are a model's guess: matching their words
# by BM25 lowered recall on photos, and their own channel covers what they mean.
PASSAGE_SOURCES = ("ocr", "body", "meta")

CHANNELS: dict[str, Channel] = {
    channel.name: channel
    for channel in (
        Channel("visual", "image", 0.50, "What the picture or page looks like."),
        Channel("caption", "text", 0.04, "What its caption says.", ("caption",), "captions"),
        Channel("ocr", "text", 0.15, "Text read in pixels or in a text file.", ("ocr", "body")),
        Channel("meta", "text", 0.10, "Title, description, alt text and tags.", ("meta",), "items"),
    )
}
