"""What a model must offer to be used here, and the identity that every vector and text carries."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from PIL import Image

RATE = 16_000
"""Samples a second of all sound that models are given: int16, mono."""


@dataclass(frozen=True)
class Identity:
    """Everything that decides what a model puts out. Two outputs compare only if these are equal.

    `weights` is a sha256 (hex) of the weights; `dimension` is the width of its vectors, 0 for a
    model that puts out text.
    """

    name: str
    revision: str
    weights: str
    preprocessing: str
    dimension: int
    dtype: str

    @cached_property
    def key(self) -> str:
        """Short digest (12 hex digits) that names tables and enters recipes."""
        return hashlib.sha256(self.as_json().encode()).hexdigest()[:12]

    def as_json(self) -> str:
        """Canonical JSON, as stored with every row."""
        return json.dumps(asdict(self), sort_keys=True)


@dataclass(frozen=True)
class ModelChoice:
    """The setting that chose a model, and the identity that it turned out to have."""

    spec: str
    identity: Identity


class TextEncoder(Protocol):
    """Text to vectors."""

    identity: Identity

    def encode_texts(self, texts: Sequence[str]) -> np.ndarray:
        """Return float32 (len(texts), dimension), rows of unit length."""
        ...


class ImageEncoder(Protocol):
    """Images and text to vectors of one space.

    Preparing (resizing, normalising) is apart from encoding so that it can run in other threads
    while the model works.
    """

    identity: Identity

    def prepare(self, image: Image.Image) -> Any:
        """Turn an RGB image into the model's input for one image."""
        ...

    def encode_prepared(self, prepared: Sequence[Any]) -> np.ndarray:
        """Return float32 (len(prepared), dimension), rows of unit length."""
        ...

    def encode_texts(self, texts: Sequence[str]) -> np.ndarray:
        """Encode queries into the images' space: float32 (len(texts), dimension), unit rows."""
        ...


class Captioner(Protocol):
    """Images to one sentence each."""

    identity: Identity

    def prepare(self, image: Image.Image) -> Any:
        """Turn an RGB image into the model's input for one image."""
        ...

    def caption_prepared(self, prepared: Sequence[Any]) -> list[str]:
        """Return one caption per image, deterministic for the same input."""
        ...


@dataclass(frozen=True)
class SpokenWord:
    """One recognised word, or several where times are known only for a phrase.

    Times are in seconds; `confidence` is 0..1, `None` where it is not known.
    """

    text: str
    start_s: float
    end_s: float
    confidence: float | None = None


@dataclass(frozen=True)
class Heard:
    """What was recognised in one utterance, its times counted from its beginning.

    `language` is an ISO 639-1 code such as `en`, `None` where it is not known.
    """

    words: tuple[SpokenWord, ...]
    language: str | None = None


class Recognizer(Protocol):
    """Speech to words."""

    identity: Identity

    def recognise(self, utterances: Sequence[np.ndarray]) -> list[Heard]:
        """Recognise utterances, each int16 (samples,) at 16 kHz mono and at most 30 s long.

        Safe to call from several threads at once.
        """
        ...


class SoundEncoder(Protocol):
    """Sound to vectors. `prepare` is apart so that it can run in other threads."""

    identity: Identity

    def prepare(self, samples: np.ndarray) -> Any:
        """Turn int16 (samples,) at 16 kHz mono into the model's input for one piece of sound."""
        ...

    def encode_prepared(self, prepared: Sequence[Any]) -> np.ndarray:
        """Return float32 (len(prepared), dimension), rows of unit length."""
        ...


class ClipEncoder(Protocol):
    """Sequences of pictures, in the order of time, and text to vectors of one space."""

    identity: Identity

    def prepare(self, pictures: Sequence[Image.Image]) -> Any:
        """Turn the RGB keyframes of one clip into the model's input for that clip."""
        ...

    def encode_prepared(self, prepared: Sequence[Any]) -> np.ndarray:
        """Return float32 (len(prepared), dimension), rows of unit length."""
        ...

    def encode_texts(self, texts: Sequence[str]) -> np.ndarray:
        """Encode queries into the clips' space: float32 (len(texts), dimension), unit rows."""
        ...


class SoundTagger(Protocol):
    """Sound to the names of what is heard in it."""

    identity: Identity

    def prepare(self, samples: np.ndarray) -> Any:
        """Turn int16 (samples,) at 16 kHz mono into the model's input for one piece of sound."""
        ...

    def tag_prepared(self, prepared: Sequence[Any]) -> list[list[tuple[str, float]]]:
        """Return the names that are heard in each piece with probabilities, surest first."""
        ...


ChannelEncoder = TextEncoder | ImageEncoder | SoundEncoder | ClipEncoder
"""What a channel may be embedded with."""
