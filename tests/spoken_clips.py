"""Real spoken clips with what is said in them."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np


@dataclass(frozen=True)
class Clip:
    """int16 (samples,) at 16 kHz mono, and its words in lower case without punctuation."""

    name: str
    samples: np.ndarray
    text: str


def spoken_clips(folder: Path) -> Iterator[Clip]:
    """Read the clips that `transcripts.jsonl` of a folder names."""
    for line in (folder / "transcripts.jsonl").read_text().splitlines():
        label = json.loads(line)
        text = " ".join(re.sub(r"[^a-z' ]", " ", label["transcript"].lower()).split())
        yield Clip(label["file"], read_sound(folder / label["file"]), text)


def read_sound(path: Path) -> np.ndarray:
    """Decode a file to int16 (samples,) at 16 kHz mono."""
    with av.open(str(path)) as container:
        resampler = av.AudioResampler(format="s16", layout="mono", rate=16_000)
        frames = [made for frame in container.decode(audio=0) for made in resampler.resample(frame)]
        frames += resampler.resample(None)
        return np.concatenate([frame.to_ndarray()[0] for frame in frames])
