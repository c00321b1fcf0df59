"""The command `search`: moments for people, the document for programs, and what was left out."""

import json
from pathlib import Path

import pytest
import toy
from made_media import film
from made_media import sound as sound_file
from typer.testing import CliRunner

from cli import app
from cli.searching import _clock
from pipelines.errors import BadInput
from pipelines.releases.publish import publish
from pipelines.settings import Settings
from pipelines.store import Store


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A film and a silent picture, beside the files to ask with."""
    toy.use(monkeypatch)
    store = Store(str(tmp_path / "home"))
    toy.put_all(store, "image", [1, 2], "visual")
    store.items.append([{"item_id": "film", "batch": "b", "kind": "video", "deleted": False}])
    part = toy.row("film", "keyframe-12", 3, kind="video", start_s=12.5, end_s=15.0)
    store.channel("visual", toy.MODEL).upsert([part])
    publish(store, toy.CHOICES, Settings(home=tmp_path / "home"))
    toy.picture(3).save(tmp_path / "three.png")
    (tmp_path / "three.flac").write_bytes(sound_file(toy.sound(3)))
    (tmp_path / "three.mp4").write_bytes(film([toy.picture(3)], 2.0, toy.sound(3, 2.0)))
    (tmp_path / "broken.png").write_bytes((tmp_path / "three.png").read_bytes()[:60])
    return tmp_path


def run(home: Path, *arguments: str) -> str:
    result = CliRunner().invoke(app, ["search", *arguments, "--home", str(home / "home")])
    if result.exception:
        raise result.exception
    return result.stdout


@pytest.mark.parametrize("option", ["image", "audio", "video"])
def test_every_kind_of_file_can_be_asked_with(home: Path, option: str) -> None:
    name = {"image": "three.png", "audio": "three.flac", "video": "three.mp4"}[option]
    answer = json.loads(run(home, f"--{option}", str(home / name), "-k", "1", "--json"))
    assert answer["results"][0]["item_id"] == "film" and answer["degraded"] == []
    assert answer["results"][0]["segment"]["link"] == "file:///film#t=12.5,15"


def test_people_see_the_moment_and_what_was_left_out(home: Path) -> None:
    assert "file:///film  0:12–0:15\n" in run(home, "3", "--profile", "narrative")
    told = run(home, "3", "--image", str(home / "broken.png"))
    assert told.startswith("answered without image: ") and "0:12–0:15" in told
    with pytest.raises(BadInput, match="there is no such profile"):
        run(home, "3", "--profile", "best")
    with pytest.raises(BadInput, match="corrupt"):
        run(home, "--image", str(home / "broken.png"))


@pytest.mark.parametrize(("seconds", "shown"), [(0, "0:00"), (75.9, "1:15"), (3661, "1:01:01")])
def test_times_are_written_as_clocks_do(seconds: float, shown: str) -> None:
    assert _clock(seconds) == shown
