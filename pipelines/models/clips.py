"""Clips, which are keyframes in the order of time, as vectors over an image encoder's space."""

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from pipelines.models.batching import encode_in_batches
from pipelines.models.protocols import Identity, ImageEncoder

MOST_FRAMES = 64
"""Of a longer clip, this many keyframes are seen, evenly spaced."""
FRAMES_AT_ONCE = 32
"""How many keyframes, of one clip or several, the image encoder sees at once."""


class MeanDifferenceEncoder:
    """A clip as what it shows and how that changes: [mean; later half's mean - earlier half's].

    Means are of the frames' unit vectors; the whole is brought to unit length, so its dimension is
    twice the image encoder's. The second half turns its sign when the clip runs backwards and is
    zero for a single picture. A text has no change, so its cosine to a clip is, up to the clip's
    length, the one to the mean frame.
    """

    def __init__(self, image_encoder: ImageEncoder) -> None:
        self._images = image_encoder
        image = image_encoder.identity
        self.identity = Identity(
            name=f"mean-difference-{image.name}",
            revision=image.revision,
            weights=hashlib.sha256(image.as_json().encode()).hexdigest(),
            preprocessing=f"at most {MOST_FRAMES} keyframes evenly spaced; {image.preprocessing}",
            dimension=2 * image.dimension,
            dtype=image.dtype,
        )

    def prepare(self, pictures: Sequence[Image.Image]) -> list[Any]:
        """Prepare the RGB keyframes of one clip; those left out are not even looked up.

        Raises ValueError for a clip without keyframes.
        """
        if not pictures:
            raise ValueError("a clip has at least one keyframe")
        seen = np.linspace(0, len(pictures) - 1, min(len(pictures), MOST_FRAMES)).round()
        return [self._images.prepare(pictures[int(position)]) for position in seen]

    def encode_prepared(self, prepared: Sequence[list[Any]]) -> np.ndarray:
        """Return float32 (len(prepared), dimension), rows of unit length."""
        if not prepared:
            return np.empty((0, self.identity.dimension), np.float32)
        frames = [frame for clip in prepared for frame in clip]
        vectors = encode_in_batches(self._images.encode_prepared, frames, FRAMES_AT_ONCE)
        ends = np.cumsum([len(clip) for clip in prepared])
        rows = np.stack([_mean_and_difference(each) for each in np.split(vectors, ends[:-1])])
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    def encode_texts(self, texts: Sequence[str]) -> np.ndarray:
        """Return float32 (len(texts), dimension), unit rows whose second half is zero."""
        vectors = self._images.encode_texts(texts)
        return np.concatenate([vectors, np.zeros_like(vectors)], axis=1)


def _mean_and_difference(vectors: np.ndarray) -> np.ndarray:
    half = len(vectors) // 2  # the middle one of an odd number belongs to neither half
    change = (vectors[-half:] - vectors[:half]).mean(axis=0) if half else np.zeros_like(vectors[0])
    return np.concatenate([vectors.mean(axis=0), change])
