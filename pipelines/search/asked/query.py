"""What is asked, whichever way it came in, and what of it could not be used."""

import unicodedata
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from PIL import Image

from pipelines.search.words import literal

AUTO = "auto"

Plan = Literal["parallel", "filter_then_vector", "ann_then_bm25", "cheap_first", "by_domain"]
PLANS: tuple[Plan, ...] = get_args(Plan)
Reranker = Literal["none", "lexical", "cross_encoder"]


@dataclass(frozen=True)
class Degraded:
    """A part of the answer that is missing: a channel of the release, or an input of the query."""

    what: Literal["channel", "input"]
    name: str
    reason: str

    def as_document(self) -> dict[str, str]:
        """Write it as applications get it."""
        return {self.what: self.name, "reason": self.reason}


@dataclass(frozen=True)
class Sound:
    """The piece of a query's sound that is asked with: int16 (samples,), 16 kHz, mono.

    `start_s` and `end_s` tell where in the recording it lies.
    """

    samples: np.ndarray
    start_s: float
    end_s: float


@dataclass(frozen=True)
class Guess:
    """Words for a query that has none: said in its sound, read in its image, or a caption of it."""

    text: str
    source: Literal["transcript", "ocr", "caption"]


@dataclass(frozen=True)
class Query:
    """What is asked, for `k` items that pass the filter `where`, weighed by a profile.

    Text, image, sound and clip (keyframes in the order of time) may be given in any combination;
    `guess` is what `pipelines.search.asked.expansion` made of them. `offset` skips that many
    results; `diversity` is lambda of maximal marginal relevance, from 1 (relevance alone) down to
    0; `reranker` `None` is what the settings say; `channels` names those to ask, all when empty.
    `prefetch` asks to have the next page of a text's answer ready.
    """

    text: str | None = None
    image: Image.Image | None = None
    k: int = 10
    where: str | None = None
    sound: Sound | None = None
    clip: tuple[Image.Image, ...] = ()
    profile: str = AUTO
    plan: str = "parallel"
    offset: int = 0
    diversity: float = 1.0
    reranker: Reranker | None = None
    channels: tuple[str, ...] = ()
    prefetch: bool = False
    guess: Guess | None = None
    degraded: tuple[Degraded, ...] = ()

    @property
    def typed(self) -> str | None:
        """The text, however it was spaced and its characters composed; `None` for none."""
        return " ".join(unicodedata.normalize("NFKC", self.text or "").split()) or None

    @property
    def words(self) -> str | None:
        """What text channels are asked with: the text, else the guess."""
        return self.typed or (self.guess.text if self.guess else None)

    @property
    def literal(self) -> str | None:
        """What BM25 is asked with: words that a person wrote or said, never a model's caption."""
        guess = self.guess.text if self.guess and self.guess.source != "caption" else None
        return literal(self.typed or guess)

    @property
    def pictures(self) -> tuple[Image.Image, ...]:
        """The image and the keyframes."""
        return (*((self.image,) if self.image is not None else ()), *self.clip)

    def asks(self, channel: str) -> bool:
        """Tell whether a channel is to be asked."""
        return not self.channels or channel in self.channels

    @property
    def is_empty(self) -> bool:
        """Whether nothing is left to ask with."""
        return not (self.typed or self.pictures or self.sound)
