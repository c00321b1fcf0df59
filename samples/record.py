"""Makes the sounds and the film of the sample catalogue: `python -m samples.record`.

Speech is synthetic, the bell is computed, the film shows the drawings of `draw.py` while its
subtitles are read out. What is private in them stands in `planted.jsonl`.
"""

import argparse
import json
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from pipelines.reading.sound import RATE
from pipelines.reading.subtitles import read_subtitles
from pipelines.settings import Settings
from samples import draw
from tests.speaking import speak

HERE = Path(__file__).parent
VOICE, SPEED = "en-us+f5", 140  # the built-in recognizer understands it well
SIZE, FPS = (640, 360), 10

CALL = "recordings/return_call.mp3"
NOTE = "recordings/closing_note.mp3"
BELL = "recordings/shop_bell.wav"
FILM = "films/shop_tour.mp4"

WORDS = {
    CALL: "my name is {PERSON} and my phone number is {PHONE_NUMBER} today. i want to return the "
    "running shoes because they are too small.",
    NOTE: "remember to water the plants on monday and to close the windows. then turn the lights "
    "off and leave the gate open for the delivery.",
}


def said(path: str) -> str:
    """The words of one recording, with what is planted in it as it is spoken."""
    rows = map(json.loads, (HERE / "planted.jsonl").read_text("utf-8").splitlines())
    spoken = {row["entity"]: row["said"] for row in rows if row["file"] == path}
    return WORDS[path].format_map(spoken)


def ring(strokes: int = 2) -> np.ndarray:
    """Strokes of a small bell, one second apart: partials that fade, the higher the sooner."""
    times = np.arange(RATE * (strokes + 1)) / RATE
    heard = np.zeros_like(times)
    for stroke in range(strokes):
        since = np.maximum(times - stroke, 0)
        for number, ratio in enumerate((0.5, 1.0, 1.2, 1.5, 2.0, 2.7), start=1):
            heard += np.sin(2 * np.pi * 1320 * ratio * since) * np.exp(-2 * number * since) / number
    return (heard / np.abs(heard).max() * 20_000).astype(np.int16)


def narration(seconds: float) -> np.ndarray:
    """The film's subtitles, each spoken at its time."""
    track = np.zeros(round(seconds * RATE), np.int16)
    beside = HERE / FILM.replace(".mp4", ".vtt")
    for cue in read_subtitles(beside.read_bytes(), beside.name, Settings()):
        words = speak(cue.text, VOICE, SPEED)
        start, end = round(cue.start_s * RATE), round(cue.end_s * RATE)
        if len(words) > end - start:
            raise SystemExit(f"{len(words) / RATE:.1f} s are too long for the cue {cue.text!r}")
        track[start : start + len(words)] = words
    return track


def scenes() -> list[tuple[Image.Image, float]]:
    """What the film shows, and for how many seconds; larger pictures are panned over."""
    badge = draw.draw_badge(FILM, draw.BADGES["employee"])
    sale = draw.draw_summer_sale("")
    return [
        (_shelf(draw.draw_teapot(), draw.draw_mug(), draw.draw_bottle()), 4),
        (_shelf(draw.draw_umbrella(), draw.draw_plant(), draw.draw_backpack()), 4),
        (badge.crop((0, 500, 640, 860)), 3),
        (sale.resize((640, 853)), 3),
    ]


def _shelf(*pictures: Image.Image) -> Image.Image:
    side = SIZE[1]
    shelf = Image.new("RGB", (side * len(pictures), side))
    for number, picture in enumerate(pictures):
        shelf.paste(picture.resize((side, side)), (number * side, 0))
    return shelf


def frames() -> Iterator[Image.Image]:
    """The pictures of the film, one after the other."""
    for picture, seconds in scenes():
        count = round(seconds * FPS)
        for number in range(count):
            left, top = (
                (long - short) * number // (count - 1)
                for long, short in zip(picture.size, SIZE, strict=True)
            )
            yield picture.crop((left, top, left + SIZE[0], top + SIZE[1]))


def write(path: Path, codec: str, samples: np.ndarray, film: bool = False) -> None:
    """Encode int16 samples (and the film's pictures) into a file of the suffix's container."""
    import av

    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as output:
        if film:
            # One thread: more, as many as there are cores, would give other bytes elsewhere.
            options = {"crf": "30", "threads": "1"}
            picture: Any = output.add_stream("libx264", rate=FPS, options=options)
            picture.width, picture.height = SIZE
            picture.pix_fmt = "yuv420p"
        sound: Any = output.add_stream(codec, rate=RATE, layout="mono")
        if codec != "pcm_s16le":
            sound.bit_rate = 48_000
        if film:
            for image in frames():
                output.mux(picture.encode(av.VideoFrame.from_image(image)))
            output.mux(picture.encode(None))
        for start in range(0, len(samples), RATE):
            block = av.AudioFrame.from_ndarray(samples[None, start : start + RATE], "s16", "mono")
            block.sample_rate, block.pts = RATE, start
            block.time_base = Fraction(1, RATE)
            output.mux(sound.encode(block))
        output.mux(sound.encode(None))


def record_all(out: Path) -> None:
    """Writes the recordings and the film under one folder."""
    write(out / CALL, "libmp3lame", speak(said(CALL), VOICE, SPEED))
    write(out / NOTE, "libmp3lame", speak(said(NOTE), VOICE, SPEED))
    write(out / BELL, "pcm_s16le", ring())
    length = sum(seconds for _, seconds in scenes())
    write(out / FILM, "aac", narration(length), film=True)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=HERE)
    record_all(parser.parse_args().out)


if __name__ == "__main__":
    main()
