import io

import numpy as np
import pytest
from made_media import RATE, sine
from running import needs_media
from speaking import speak

from pipelines.reading.fingerprint import SAME, fingerprint, match
from pipelines.reading.sound import decode_sound
from pipelines.settings import Settings

TEXTS = [
    "The committee will meet on Thursday to talk about the new bridge over the river.",
    "Please bring your own cup; coffee is served in the garden after nine o'clock.",
]
CODECS = {
    "mp3, 64 kbit/s": ("libmp3lame", "mp3", 64_000, RATE),
    "mp3, 24 kbit/s": ("libmp3lame", "mp3", 24_000, RATE),
    "opus, 24 kbit/s": ("libopus", "ogg", 24_000, 48_000),
    "aac, 48 kbit/s": ("aac", "mp4", 48_000, 44_100),
}


def recode(samples: np.ndarray, codec: str, container: str, bit_rate: int, rate: int) -> np.ndarray:
    import av

    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container) as output:
        stream = output.add_stream(codec, rate=rate, layout="mono")
        stream.bit_rate = bit_rate
        frame = av.AudioFrame.from_ndarray(samples[None], format="s16", layout="mono")
        frame.sample_rate = RATE
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return decoded(buffer.getvalue())


def decoded(data: bytes) -> np.ndarray:
    return np.concatenate(list(decode_sound(io.BytesIO(data), Settings())))


def of(samples: np.ndarray) -> str:
    found = fingerprint([samples])
    assert found is not None
    return found


@pytest.fixture(scope="module")
def spoken() -> list[np.ndarray]:
    return [speak(text) for text in TEXTS]


@pytest.mark.parametrize("kind", CODECS)
def test_the_same_recording_is_known_in_another_encoding(
    kind: str, spoken: list[np.ndarray]
) -> None:
    copies = [of(recode(samples, *CODECS[kind])) for samples in spoken]
    for samples, copy, other in zip(spoken, copies, reversed(copies), strict=True):
        assert match(of(samples), copy) >= SAME
        assert match(of(samples), other) < SAME


@pytest.mark.parametrize("cut", [500, 3333, 8000, 8704])
def test_a_late_start_does_not_matter(cut: int, spoken: list[np.ndarray]) -> None:
    for samples in spoken:
        assert match(of(samples), of(samples[cut:])) >= SAME
        assert match(of(samples[cut:]), of(samples)) >= SAME


def test_loudness_does_not_matter(spoken: list[np.ndarray]) -> None:
    assert match(of(spoken[0]), of(spoken[0] // 2)) >= SAME
    assert match(of(spoken[0]), of(spoken[0])) == 1


def test_blocks_may_be_of_any_length(spoken: list[np.ndarray]) -> None:
    samples = np.concatenate(spoken)
    cuts = np.sort(np.random.default_rng(0).integers(0, len(samples), 20))
    assert fingerprint(np.split(samples, cuts)) == of(samples)
    assert fingerprint(np.split(samples, cuts), seconds=4) == of(samples[: 4 * RATE])


def test_no_more_is_read_than_needed(spoken: list[np.ndarray]) -> None:
    blocks = iter([spoken[0]] * 5)
    fingerprint(blocks, seconds=4)
    assert len(list(blocks)) >= 3


def test_what_hardly_sounds_has_no_fingerprint(spoken: list[np.ndarray]) -> None:
    silence = np.zeros(10 * RATE, np.int16)
    dither = np.random.default_rng(0).integers(0, 2, 10 * RATE).astype(np.int16)
    assert fingerprint([]) is None
    assert fingerprint([silence]) is None
    assert fingerprint([spoken[0][:RATE]]) is None
    assert fingerprint([np.concatenate([silence, spoken[0][:RATE]])]) is None
    assert len(of(spoken[0])) < 90 * len(spoken[0]) / RATE
    # Silence in both is no likeness.
    ends = [np.concatenate([samples, silence]) for samples in (*spoken, dither + sine(10))]
    for one in range(3):
        for other in range(one):
            assert match(of(ends[one]), of(ends[other])) < SAME


def test_a_short_part_is_not_the_whole(spoken: list[np.ndarray]) -> None:
    whole = np.concatenate([spoken[0], spoken[1], spoken[1][::-1]])
    assert match(of(whole), of(spoken[0])) == 0


def test_real_recordings_are_told_apart() -> None:
    folder = needs_media("speech")
    clips = [decoded(path.read_bytes()) for path in sorted(folder.glob("*/*.wav"))]
    clips = [clip for clip in clips if len(clip) > 2 * RATE]
    for path in (folder.parent / "audio").glob("*/*.*"):
        clips += np.array_split(decoded(path.read_bytes()), 6)
    marks = [of(clip) for clip in clips]
    copies = [of(recode(clip, *CODECS["opus, 24 kbit/s"])) for clip in clips[::3]]
    same = [match(mark, copy) for mark, copy in zip(marks[::3], copies, strict=True)]
    different = [match(a, b) for place, a in enumerate(marks) for b in marks[:place]]
    assert min(same) >= SAME
    assert max(different) < SAME
