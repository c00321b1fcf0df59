"""Real films through the index: found by caption, by a part, by a picture, to the second."""

import io
import json
from itertools import islice

import pytest
from PIL import Image
from real_home import (
    BANGKOK,
    BUNNY,
    FILMS,
    GIVEN,
    KITTEN,
    RealHome,
    pictures_of,
    place_of,
    real_home,
)

from pipelines.search.media import in_memory
from tests.pipelines.made_media import film

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> RealHome:
    return real_home(tmp_path_factory)


@pytest.fixture(scope="module")
def captions(real: RealHome) -> dict[str, str]:
    lines = (real.raw / "video" / "labels.jsonl").read_text().splitlines()
    return {row["file"]: row["caption"] for row in map(json.loads, lines)}


def test_everything_is_indexed(real: RealHome) -> None:
    outcomes = real.report["outcomes"]
    assert outcomes["failed"] == outcomes["quarantined"] == 0
    assert real.report["encoded"]["video"] == real.report["encoded"]["story"] == 7


def test_films_are_found_by_their_captions(real: RealHome, captions: dict[str, str]) -> None:
    assert len(captions) == 5
    ranks = {}
    for name, caption in captions.items():
        found = [place_of(result) for result in real.ask(caption, where=GIVEN, k=100)]
        ranks[name] = found.index(name) + 1
    assert max(ranks.values()) <= 3, ranks


@pytest.mark.parametrize("scene", [BUNNY, BANGKOK, KITTEN])
def test_a_part_of_a_film_finds_it(real: RealHome, scene: str) -> None:
    shown = list(pictures_of(real.raw / "video" / scene, 5))[15:40]
    part = film(shown, 0.2, fps=5, size=(320, 180))
    best = real.ask(None, in_memory(part, "video"), where=GIVEN, k=1)[0]
    assert place_of(best) == scene and best["channels"]["video"] > 0
    assert real.best_in("video", in_memory(part, "video")) == scene


@pytest.mark.parametrize("scene", [BANGKOK, KITTEN])
def test_a_scene_is_found_to_the_second(
    real: RealHome, captions: dict[str, str], scene: str
) -> None:
    picture = next(islice(pictures_of(real.raw / "video" / scene, 5), 17, None))
    for text, uploads in (
        (None, [in_memory(_jpeg(picture), "image")]),
        (captions[scene], []),
    ):
        found = {
            place_of(result): result["segment"]
            for result in real.ask(text, *uploads, where="kind = 'video' AND made = true", k=5)
        }
        for name, plan in FILMS.items():
            start_s, end_s = plan.seconds(scene)
            segment = found[f"made/{name}"]
            assert start_s <= segment["start_s"] < segment["end_s"] <= end_s + 0.2


def _jpeg(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG")
    return buffer.getvalue()
