"""One home over real speech, sound, films and some pictures, with films and a call made of them.

It is indexed once for all tests of a session. What is made is marked, so that it can be left out
where it would stand beside the very recording that it is made of.
"""

import asyncio
import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from running import mediadex, needs_media
from speaking import speak
from spoken_clips import Clip, read_sound, spoken_clips

from pipelines.reading.video import keyframes
from pipelines.search.asked.filters import compile_filter
from pipelines.search.asked.media import Upload, with_upload
from pipelines.search.asked.query import Query
from pipelines.search.engines.protocol import Allowed
from pipelines.search.service import SearchService
from pipelines.settings import Settings
from pipelines.store import Store
from tests.pipelines.made_media import RATE, film, sound

GIVEN = "made IS NULL"
CALL = (
    "my name is robert brown and my phone number is five five five two three four seven eight"
    " nine today"
)
BUNNY, BANGKOK, KITTEN = (
    "datachain/Big_Buck_Bunny_360_10s_1MB.mp4",
    "pixeltable/bangkok_half_res.mp4",
    "pixeltable/spaces_and_quote_half_res.mp4",
)
SUNDAY, SELFISH, AMIABLE = (
    "speechbrain/spk1_snt5.wav",
    "librivox/sense_and_sensibility_01_austen_64kb-0890.wav",
    "librivox/sense_and_sensibility_01_austen_64kb-0920.wav",
)


@dataclass(frozen=True)
class Film:
    """Scenes, each from the beginning of a film for so many seconds, and who speaks when."""

    scene_s: float
    scenes: tuple[str, ...]
    spoken: Mapping[str, float]

    def seconds(self, scene: str) -> tuple[float, float]:
        """Return from when to when a scene is shown."""
        start = self.scenes.index(scene) * self.scene_s
        return start, start + self.scene_s


FILMS = {
    "long.mp4": Film(13.0, (BUNNY, BANGKOK, KITTEN), {SELFISH: 1.0, SUNDAY: 32.0}),
    "short.mp4": Film(6.0, (KITTEN, BANGKOK), {AMIABLE: 4.0}),
}


@dataclass(frozen=True)
class RealHome:
    """A folder of media and the home that it was indexed into."""

    raw: Path
    home: Path
    report: Mapping[str, Any]

    @cached_property
    def settings(self) -> Settings:
        return Settings(home=self.home)

    @cached_property
    def store(self) -> Store:
        return Store(self.settings.root)

    @cached_property
    def _asking(self) -> tuple[asyncio.Runner, SearchService]:
        return asyncio.Runner(), SearchService(self.store, self.settings)

    def ask(self, text: str | None = None, *uploads: Upload, **how: Any) -> list[dict[str, Any]]:
        """Return what is found, best first."""
        runner, service = self._asking
        return runner.run(service.search(Query(text, **how), uploads))["results"]

    def best_in(self, channel: str, upload: Upload) -> str:
        """Return the file that a channel alone finds first, among those that were not made."""
        runner, service = self._asking
        query = with_upload(Query(k=3), upload, self.settings)
        searcher = runner.run(service.view()).searcher
        ranked = runner.run(searcher.rankings(query, Allowed(compile_filter(GIVEN))))[channel]
        [item] = self.store.items.rows(where=f"item_id = '{ranked[0]}'")
        return place_of(item["origins"][0])

    def item(self, name: str) -> dict[str, Any]:
        """Return the item of a file, named below the folder of its kind."""
        [item] = [row for row in self.store.items.rows() if place_of(row["origins"][0]) == name]
        return item


def place_of(result: Mapping[str, Any]) -> str:
    """Return the file of a result, below the folder of its kind."""
    return "/".join(result["uri"].split("/")[-2:])


def real_home(factory: pytest.TempPathFactory) -> RealHome:
    """Return the session's home; skips where the real media are absent."""
    return _indexed(factory.getbasetemp() / "real-media", needs_media("speech").parent)


@cache
def _indexed(folder: Path, media: Path) -> RealHome:
    """Index all speech, sound and films, some pictures, and what is made of them."""
    raw = folder / "raw"
    raw.mkdir(parents=True)
    for name in ("speech", "video"):
        shutil.copytree(media / name, raw / name)
    for path in sorted((media / "audio").glob("*/*.*")):
        # Half a minute of each says as much about them.
        start = raw / "audio" / path.parent.name / f"{path.stem}.flac"
        start.parent.mkdir(parents=True)
        start.write_bytes(sound(read_sound(path)[: 30 * RATE]))
    photos, receipts = (sorted(media.glob(f"{name}/*/*.jpg")) for name in ("photos", "documents"))
    (raw / "pictures").mkdir()
    for path in (*photos[::16], *receipts[::11]):
        (raw / "pictures" / path.name).symlink_to(path)
    made = raw / "made"
    made.mkdir()
    clips = {clip.name: clip for clip in spoken_clips(media / "speech")}
    for name, plan in FILMS.items():
        (made / name).write_bytes(_joined(plan, media / "video", clips))
    (made / "call.flac").write_bytes(sound(speak(CALL, "en-us+f2", 140)))
    rows = [{"file_name": name, "made": True} for name in (*FILMS, "call.flac")]
    (made / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return RealHome(raw, folder / "home", mediadex(folder / "home", "index", str(raw)))


def _joined(plan: Film, videos: Path, clips: Mapping[str, Clip]) -> bytes:
    fps = 5
    count = round(plan.scene_s * fps)
    pictures: list[Image.Image] = []
    for scene in plan.scenes:
        shown = list(islice(pictures_of(videos / scene, fps), count))
        pictures += shown + shown[-1:] * (count - len(shown))
    heard = np.zeros(round(len(pictures) / fps * RATE), np.int16)
    for name, start_s in plan.spoken.items():
        samples = clips[name].samples
        heard[round(start_s * RATE) :][: len(samples)] = samples
    return film(pictures, 1 / fps, heard, fps=fps, size=(320, 180))


def pictures_of(path: Path, fps: int) -> Iterator[Image.Image]:
    """Yield what a film shows, so many times a second."""
    with path.open("rb") as file:
        for frame in keyframes(file, Settings(keyframe_s=1 / fps)):
            yield frame.image
