from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from pipelines.models import clips, factory
from pipelines.models.clips import MeanDifferenceEncoder
from pipelines.models.protocols import Identity

COLOURS = ["red", "green", "blue", "orange", "purple", "grey"]


class Colours:
    """Sees the mean colour of an image, and reads the names of colours."""

    def __init__(self) -> None:
        self.identity = Identity("colours", "1", "", "mean", 3, "float32")
        self.looked_up: list[int] = []

    def prepare(self, image: Image.Image) -> np.ndarray:
        return np.asarray(image, np.float32).mean(axis=(0, 1))

    def encode_prepared(self, prepared: Sequence[np.ndarray]) -> np.ndarray:
        self.looked_up.append(len(prepared))
        rows = np.stack(prepared)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    def encode_texts(self, texts: Sequence[str]) -> np.ndarray:
        if not texts:
            return np.empty((0, 3), np.float32)
        return self.encode_prepared([self.prepare(picture(text)) for text in texts])


def picture(colour: str) -> Image.Image:
    return Image.new("RGB", (4, 4), colour)


@pytest.fixture
def encoder() -> MeanDifferenceEncoder:
    return MeanDifferenceEncoder(Colours())


def encode(encoder: MeanDifferenceEncoder, *films: Sequence[str]) -> np.ndarray:
    return encoder.encode_prepared(
        [encoder.prepare([picture(colour) for colour in film]) for film in films]
    )


def test_the_first_half_is_the_mean_and_the_second_the_change(
    encoder: MeanDifferenceEncoder,
) -> None:
    images = Colours()
    frames = images.encode_prepared([images.prepare(picture(each)) for each in COLOURS])
    (vector,) = encode(encoder, COLOURS)
    expected = np.concatenate([frames.mean(axis=0), frames[3:].mean(axis=0) - frames[:3].mean(0)])
    np.testing.assert_allclose(vector, expected / np.linalg.norm(expected), atol=1e-6)
    assert vector.dtype == np.float32


@pytest.mark.parametrize("count", [2, 3, 5, 6])
def test_a_clip_backwards_changes_the_other_way(count: int, encoder: MeanDifferenceEncoder) -> None:
    there, back = encode(encoder, COLOURS[:count], COLOURS[:count][::-1])
    np.testing.assert_allclose(there[:3], back[:3], atol=1e-6)
    np.testing.assert_allclose(there[3:], -back[3:], atol=1e-6)
    assert np.linalg.norm(there[3:]) > 0.1


def test_a_still_clip_is_found_like_its_picture(encoder: MeanDifferenceEncoder) -> None:
    images = Colours()
    still, single = encode(encoder, ["red"] * 4, ["red"])
    np.testing.assert_allclose(still, single, atol=1e-6)
    assert not still[3:].any()
    asked = encoder.encode_texts(COLOURS)
    wanted = images.encode_texts(COLOURS) @ images.encode_texts(["red"])[0]
    np.testing.assert_allclose(asked @ still, wanted, atol=1e-6)


def test_several_clips_are_encoded_in_bounded_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clips, "FRAMES_AT_ONCE", 4)
    images = Colours()
    encoder = MeanDifferenceEncoder(images)
    films = [COLOURS, ["red"], COLOURS[:3]]
    together = encode(encoder, *films)
    assert images.looked_up == [4, 4, 2]
    apart = np.concatenate([encode(encoder, film) for film in films])
    np.testing.assert_allclose(together, apart, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-6)
    assert encoder.encode_prepared([]).shape == encoder.encode_texts([]).shape == (0, 6)


def test_of_a_long_clip_some_keyframes_are_seen(encoder: MeanDifferenceEncoder) -> None:
    class Film(Sequence[Image.Image]):
        def __init__(self) -> None:
            self.seen: list[int] = []

        def __len__(self) -> int:
            return 1000

        def __getitem__(self, index: int) -> Image.Image:  # type: ignore[override]
            self.seen.append(index)
            return picture("red" if index < 500 else "blue")

    film = Film()
    prepared = encoder.prepare(film)
    assert len(prepared) == len(film.seen) == clips.MOST_FRAMES
    assert (film.seen[0], film.seen[-1]) == (0, 999)
    np.testing.assert_allclose(
        encoder.encode_prepared([prepared]), encode(encoder, ["red", "blue"]), atol=1e-6
    )
    with pytest.raises(ValueError, match="at least one keyframe"):
        encoder.prepare([])


def test_the_identity_follows_the_image_encoder(encoder: MeanDifferenceEncoder) -> None:
    other = Colours()
    other.identity = replace(other.identity, preprocessing="median")
    assert encoder.identity == MeanDifferenceEncoder(Colours()).identity
    assert encoder.identity.key != MeanDifferenceEncoder(other).identity.key
    assert encoder.identity.dimension == 6
    image = factory.image_encoder("builtin").identity
    assert factory.clip_encoder("builtin").identity.dimension == 2 * image.dimension
    assert factory.clip_encoder("builtin") is factory.channel_encoder("clip", "builtin")
