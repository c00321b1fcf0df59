"""The registry of channels: each way to look at items is one entry here, and nowhere else."""

from dataclasses import dataclass
from typing import Literal

Encoder = Literal["image", "text", "sound", "clip"]

READING = ("redacted_media", "keyframes", "transcripts")
"""The steps that read media and redact what they read; the rest works on what these leave."""


@dataclass(frozen=True)
class Channel:
    """One way to look at items.

    `encoder` names the kind of model that embeds it. An image channel reads pictures, pages and
    keyframes; a text channel the redacted texts of the given `sources`; a sound channel pieces of
    sound; a clip channel all keyframes of a video at once. `weight` is its share in the fused score
    when every channel is present (see `pipelines.search.fusion`). `after` names the steps that make
    what it reads.
    """

    name: str
    encoder: Encoder
    weight: float
    description: str
    after: tuple[str, ...]
    sources: tuple[str, ...] = ()


# What people wrote or said, or what stands in the media. Captions are a model's guess: matching
# their words by BM25 lowered recall on photos, and their own channel covers what they mean.
PASSAGE_SOURCES = ("ocr", "body", "meta", "transcript")

CHANNELS: dict[str, Channel] = {
    channel.name: channel
    for channel in (
        Channel(
            "visual",
            "image",
            0.50,
            "What the picture, page or keyframe looks like.",
            ("redacted_media", "keyframes"),
        ),
        Channel(
            "caption",
            "text",
            0.02,
            "What its caption says, and which sounds are heard.",
            ("captions", "sound_tags"),
            ("caption", "sound"),
        ),
        Channel(
            "ocr",
            "text",
            0.30,
            "Text read in pixels or in a text file.",
            ("redacted_media", "keyframes"),
            ("ocr", "body"),
        ),
        Channel(
            "meta",
            "text",
            0.10,
            "Title, description, alt text and tags.",
            # Metadata is found only beside media that passed redaction.
            ("items", *READING),
            ("meta",),
        ),
        Channel(
            "transcript", "text", 0.25, "What is said in it.", ("transcripts",), ("transcript",)
        ),
        Channel("audio", "sound", 0.10, "What it sounds like.", ("transcripts",)),
        Channel("video", "clip", 0.20, "What its keyframes show together.", ("keyframes",)),
        Channel(
            "story", "text", 0.04, "What happens in it, in order.", ("storylines",), ("story",)
        ),
    )
}
