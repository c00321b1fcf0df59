"""Sound decoded to its place in time, cut into pieces and stored."""

import io
from fractions import Fraction

import av
import numpy as np
import pytest
from made_media import RATE, film, silence, sine, sound, tone, truncated

from pipelines.errors import BadInput
from pipelines.reading.sound import as_flac, decode_sound, from_flac, pieces
from pipelines.settings import Settings
from tests.running import needs_media


def heard(data: bytes, **bounds: float) -> np.ndarray:
    return np.concatenate(list(decode_sound(io.BytesIO(data), Settings(**bounds))))


def loud_at(samples: np.ndarray) -> tuple[float, float]:
    """When the first loud sample is heard, and when the last, in seconds."""
    places = np.flatnonzero(np.abs(samples.astype(int)) > 6000)
    return places[0] / RATE, places[-1] / RATE


@pytest.mark.parametrize(
    "how",
    [
        {"codec": "flac"},
        {"codec": "aac"},
        {"codec": "aac", "rate": 44_100, "channels": 2},
        {"codec": "aac", "container": "matroska", "rate": 48_000},
        {"codec": "libopus"},
        {"codec": "libopus", "rate": 48_000, "container": "matroska", "channels": 2},
        {"codec": "libmp3lame"},
        {"codec": "libmp3lame", "rate": 44_100},
        {"codec": "pcm_s16le", "rate": 8_000},
        {"codec": "pcm_s16le", "container": "matroska"},
    ],
    ids=lambda how: "-".join(str(value) for value in how.values()),
)
def test_every_format_keeps_time_and_note(how: dict[str, object]) -> None:
    quiet = np.zeros(RATE, np.int16)
    samples = heard(sound(quiet, sine(0.5), quiet, **how))
    assert samples.dtype == np.int16 and samples.ndim == 1
    assert len(samples) / RATE == pytest.approx(2.5, abs=0.07)
    assert loud_at(samples) == pytest.approx((1.0, 1.5), abs=0.02)
    spectrum = np.abs(np.fft.rfft(samples[int(1.1 * RATE) : int(1.4 * RATE)]))
    assert spectrum.argmax() / 0.3 == pytest.approx(440, abs=5)


def test_16_khz_mono_is_exact() -> None:
    assert np.array_equal(heard(tone(1.5)), sine(1.5))


def test_blocks_follow_each_other_and_are_short() -> None:
    samples = sine(23.5)
    blocks = list(decode_sound(io.BytesIO(sound(samples)), Settings()))
    assert [len(block) / RATE for block in blocks] == [10.0, 10.0, 3.5]
    assert np.array_equal(np.concatenate(blocks), samples)


def test_only_what_is_asked_for_is_read() -> None:
    data = silence(600, "pcm_s16le")
    file = io.BytesIO(data)
    next(decode_sound(file, Settings(max_seconds=601)))
    assert file.tell() < len(data) / 20


@pytest.mark.parametrize("container", ["mp4", "matroska"])
def test_a_late_start_is_silence(container: str) -> None:
    samples = heard(film(["red"] * 3, sound=sine(1), sound_starts_s=1.5, container=container))
    assert loud_at(samples) == pytest.approx((1.5, 2.5), abs=0.01)
    assert not samples[: RATE // 2].any()


def test_time_begins_where_the_file_begins() -> None:
    samples = heard(film(["red"] * 2, sound=sine(2), starts_s=500.0, container="mpegts"))
    assert loud_at(samples) == pytest.approx((0, 2), abs=0.05)


def test_gaps_are_silence() -> None:
    samples = heard(
        sound(sine(1), sine(1), codec="pcm_s16le", container="matroska", gap_s=12, rate=8_000)
    )
    assert len(samples) / RATE == pytest.approx(14, abs=0.001)
    assert not samples[RATE + 100 : 13 * RATE - 100].any()
    assert np.abs(samples[13 * RATE + 100 :]).max() > 16_000


def test_a_run_that_begins_with_few_samples_is_in_its_place() -> None:
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="matroska") as output:
        stream = output.add_stream("pcm_s16le", rate=8_000, layout="mono")
        for start, count, level in ((0, 8_000, 0), (24_000, 4, 20_000), (24_004, 8_000, 20_000)):
            samples = np.full((1, count), level, np.int16)
            frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = 8_000, start, Fraction(1, 8_000)
            output.mux(stream.encode(frame))
    assert loud_at(heard(buffer.getvalue())) == pytest.approx((3, 4), abs=0.01)


def test_overlaps_are_dropped() -> None:
    high, low = sine(1, 2000), sine(1, 100)
    samples = heard(sound(high, low, codec="pcm_s16le", container="matroska", gap_s=-0.5))
    assert np.array_equal(samples, np.concatenate([high, low[RATE // 2 :]]))


@pytest.mark.parametrize(
    ("codec", "share"), [("pcm_s16le", 0.5), ("aac", 0.6), ("libmp3lame", 0.5)]
)
def test_a_broken_tail_ends_the_sound(codec: str, share: float) -> None:
    how = {"container": "adts"} if codec == "aac" else {}
    samples = heard(truncated(tone(4, codec=codec, **how), share))
    assert len(samples) / RATE == pytest.approx(4 * share, abs=0.3)


def test_broken_bytes_inside_leave_the_rest_in_place() -> None:
    quiet = np.zeros(2 * RATE, np.int16)
    data = bytearray(sound(sine(2), quiet, sine(2), codec="aac", container="matroska"))
    middle = len(data) // 4
    data[middle : middle + 1500] = b"\0" * 1500
    samples = heard(bytes(data))
    assert not samples[round(2.2 * RATE) : round(3.8 * RATE)].any()
    assert loud_at(samples) == pytest.approx((0, 6), abs=0.1)


@pytest.mark.parametrize(
    "data", [film(["red"]), silence(1)[:60], silence(0, "pcm_s16le")], ids=["film", "cut", "empty"]
)
def test_no_sound_is_bad_input(data: bytes) -> None:
    with pytest.raises(BadInput):
        heard(data)


@pytest.mark.parametrize("gap_s", [0.0, 3600.0])
def test_too_long_is_refused_while_decoding(gap_s: float) -> None:
    data = sound(sine(8), sine(8), codec="pcm_s16le", container="matroska", gap_s=gap_s)
    with pytest.raises(BadInput, match="max_seconds"):
        heard(data, max_seconds=15)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (5, [(0, 5)]),
        (30, [(0, 30)]),
        (31, [(0, 30), (28, 31)]),
        (58, [(0, 30), (28, 58)]),
        (58.5, [(0, 30), (28, 58), (56, 58.5)]),
        (0, []),
    ],
)
@pytest.mark.parametrize("block_s", [7, 100])
def test_pieces(seconds: float, expected: list[tuple[float, float]], block_s: int) -> None:
    samples = np.arange(int(seconds * RATE)).astype(np.int16)
    blocks = [samples[at : at + block_s * RATE] for at in range(0, len(samples), block_s * RATE)]
    found = list(pieces(iter(blocks), 30, 2))
    assert [(piece.start_s, piece.end_s) for piece in found] == expected
    for piece in found:
        part = samples[round(piece.start_s * RATE) : round(piece.end_s * RATE)]
        assert np.array_equal(piece.samples, part)


def test_pieces_share_no_memory() -> None:
    first, second = pieces([np.ones(50 * RATE, np.int16)], 30, 10)
    first.samples[:] = 0
    assert second.samples.all()


def test_pieces_must_move_on() -> None:
    with pytest.raises(ValueError, match="overlap"):
        next(pieces([np.ones(RATE, np.int16)], 1, 1))


@pytest.mark.parametrize("count", [0, 1, 15, RATE, 3 * RATE + 17])
def test_flac_gives_back_the_same_samples(count: int) -> None:
    samples = np.random.default_rng(count).integers(-32_768, 32_768, count).astype(np.int16)
    data = as_flac(samples)
    assert np.array_equal(from_flac(data), samples)
    assert as_flac(samples.copy()) == data


def test_flac_tells_nothing_but_the_sound() -> None:
    data = as_flac(np.zeros(16, np.int16))
    assert len(data) < 100
    assert b"Lav" not in data


def test_what_is_no_flac_is_bad_input() -> None:
    with pytest.raises(BadInput):
        from_flac(b"fLaC and then something else")


def test_real_speech() -> None:
    path = needs_media("speech") / "speechbrain" / "LJ050-0131.wav"
    assert len(heard(path.read_bytes())) / RATE == pytest.approx(7.658, abs=0.001)
