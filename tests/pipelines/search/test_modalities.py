"""Every modality finds every other, and one that fails leaves the others answering."""

import asyncio
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import toy
from made_media import film
from made_media import sound as sound_file

from pipelines.channels import CHANNELS
from pipelines.errors import BadInput, ModelUnavailable
from pipelines.models import factory
from pipelines.models.protocols import ModelChoice
from pipelines.releases.publish import publish
from pipelines.search.asked.media import Upload
from pipelines.search.asked.query import Query
from pipelines.search.service import SearchService
from pipelines.settings import Settings
from pipelines.store import Store

CHANNELS_OF = {
    "text": ("ocr",),
    "image": ("visual", "caption"),
    "audio": toy.SPOKEN,
    "video": (*toy.SHOWN, *toy.SPOKEN),
}
NUMBERS = range(1, 5)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A home with four items of each kind, each of one number in all of its channels."""
    settings = Settings(
        home=tmp_path_factory.mktemp("modalities"), index_rows=300, refuse_nonsense=False
    )
    store = Store(settings.root)
    for kind, channels in CHANNELS_OF.items():
        toy.put_all(store, kind, NUMBERS, *channels)
    publish(store, {name: ModelChoice("toy", toy.MODEL) for name in CHANNELS}, settings)
    return settings


@pytest.fixture(autouse=True)
def models(monkeypatch: pytest.MonkeyPatch) -> None:
    toy.use(monkeypatch)


def image_file(number: int) -> bytes:
    buffer = io.BytesIO()
    toy.picture(number).save(buffer, "PNG")
    return buffer.getvalue()


FILES: dict[str, Callable[[int], bytes]] = {
    "text": lambda number: str(number).encode(),
    "image": image_file,
    "audio": lambda number: sound_file(toy.sound(number)),
    "video": lambda number: film([toy.picture(number)], 2.0, toy.sound(number, 2.0)),
}


def ask(settings: Settings, query: Query, *files: bytes) -> dict[str, Any]:
    uploads = [Upload(io.BytesIO(data)) for data in files]
    return asyncio.run(SearchService(Store(settings.root), settings).search(query, uploads))


@pytest.mark.parametrize("asked", FILES)
def test_each_modality_finds_every_kind(settings: Settings, asked: str) -> None:
    data = FILES[asked](3)
    for kind in CHANNELS_OF:
        answer = ask(settings, Query(where=f"kind = '{kind}'", k=4), data)
        assert answer["degraded"] == []
        first, second = answer["results"][:2]
        assert first["item_id"] == f"{kind}-3" and first["score"] > 2 * second["score"]
        assert sum(first["channels"].values()) == pytest.approx(first["score"])


def test_sound_and_pictures_reach_their_own_channels(settings: Settings) -> None:
    found = {
        name: ask(settings, Query(k=1, where="kind = 'video'"), make(3))["results"][0]
        for name, make in FILES.items()
    }
    assert {name for name, result in found.items() if "audio" in result["channels"]} == {
        "audio",
        "video",
    }
    assert all("video" in result["channels"] for result in found.values())
    told = {name: ask(settings, Query(k=1), make(3))["asked"] for name, make in FILES.items()}
    assert [each["words"] for each in told.values()] == [
        "text",
        "caption",
        "transcript",
        "transcript",
    ]
    assert told["audio"]["sound"]["end_s"] == pytest.approx(1.0)


def test_words_are_matched_that_were_typed_or_said_and_not_those_of_a_caption(
    settings: Settings,
) -> None:
    best = {
        name: ask(settings, Query(k=1, where="kind = 'text'"), make(3))["results"][0]["channels"]
        for name, make in FILES.items()
    }
    assert best["text"]["bm25"] == best["audio"]["bm25"] == best["video"]["bm25"] > 0
    assert best["image"].keys() == {"ocr"}


def test_text_and_picture_together_find_both(settings: Settings) -> None:
    query = Query("1", k=2, where="kind = 'image'")
    found = ask(settings, query, FILES["image"](2))["results"]
    assert {result["item_id"] for result in found} == {"image-1", "image-2"}
    assert min(result["channels"]["visual"] for result in found) > 0.3


def test_a_made_up_caption_counts_for_less_than_words(settings: Settings) -> None:
    typed, shown = (
        ask(settings, Query(k=1, where="kind = 'image'"), FILES[name](3))["results"][0]["channels"]
        for name in ("text", "image")
    )
    assert shown["caption"] / shown["visual"] < typed["caption"] / typed["visual"] / 2


def test_the_profile_is_named_and_moves_the_shares(settings: Settings) -> None:
    plain, told = (
        ask(settings, Query("3", k=1, where="kind = 'video'", profile=profile))
        for profile in ("auto", "narrative")
    )
    assert (plain["profile"], told["profile"]) == ("default", "narrative")
    story = [answer["results"][0]["channels"]["story"] for answer in (plain, told)]
    assert story[1] > 3 * story[0] > 0


def unavailable(*_: object) -> Any:
    raise ModelUnavailable("the model's files are absent")


def test_without_the_image_encoder_text_channels_answer(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(factory, "image_encoder", unavailable)
    answer = ask(settings, Query("3", where="kind = 'text'"))
    assert answer["results"][0]["item_id"] == "text-3"
    assert answer["degraded"] == [{"channel": "visual", "reason": "the model's files are absent"}]
    pictures = ask(settings, Query("3", where="kind = 'image'"))["results"]
    assert pictures[0]["item_id"] == "image-3" and "visual" not in pictures[0]["channels"]


def test_a_model_that_breaks_is_named_without_what_it_said(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> Any:
        raise RuntimeError("secret words")

    monkeypatch.setattr(toy.Toy, "recognise", broken)
    answer = ask(settings, Query(where="kind = 'audio'"), FILES["audio"](3))
    assert answer["results"][0]["item_id"] == "audio-3"
    assert answer["results"][0]["channels"].keys() == {"audio"}
    (missing,) = answer["degraded"]
    assert missing["input"] == "sound" and "RuntimeError" in missing["reason"]
    assert "secret" not in missing["reason"]


def test_a_broken_upload_leaves_the_text_to_ask_with(settings: Settings) -> None:
    answer = ask(settings, Query("3", k=1, where="kind = 'text'"), image_file(3)[:60])
    assert answer["results"][0]["item_id"] == "text-3"
    assert answer["degraded"][0]["input"] == "image"
    with pytest.raises(BadInput, match="corrupt"):
        ask(settings, Query(), image_file(3)[:60])


def test_with_nothing_left_to_ask_with_the_reasons_are_told(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for job in ("image_encoder", "clip_encoder", "captioner"):
        monkeypatch.setattr(factory, job, unavailable)
    with pytest.raises(BadInput, match=r"visual: the model's files are absent"):
        ask(settings, Query(), image_file(3))


def test_an_absent_model_is_not_looked_for_by_every_query(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = []
    monkeypatch.setattr(factory, "image_encoder", lambda spec: tried.append(1) or unavailable())
    service = SearchService(Store(settings.root), settings)

    async def thrice() -> list[dict[str, Any]]:
        return [await service.search(Query("3", k=1)) for _ in range(3)]

    answers = asyncio.run(thrice())
    assert len(tried) == 1 and all(answer["degraded"] for answer in answers)


def test_a_long_film_leaves_room_for_other_items(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, refuse_nonsense=False)
    store = Store(settings.root)
    toy.put_all(store, "image", range(1, 8), "visual")
    store.items.append([{"item_id": "film", "batch": "b", "kind": "video", "deleted": False}])
    frames = [toy.row("film", f"keyframe-{at:010.3f}", 3, kind="video") for at in range(300)]
    store.channel("visual", toy.MODEL).upsert(frames)
    publish(store, toy.CHOICES, settings)
    found = [result["item_id"] for result in ask(settings, Query("3", k=5))["results"]]
    assert found[:2] == ["film", "image-3"] and len(found) == 5


def test_words_asked_of_sounds_alone_are_told_what_to_ask_with(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, refuse_nonsense=False)
    store = Store(settings.root)
    made = [toy.row(toy.item_id(1), "audio", 1)]
    toy.catalog(store, [1])
    store.channel("audio", toy.MODEL).upsert(made)
    publish(store, {"audio": ModelChoice("toy", toy.MODEL)}, settings)
    with pytest.raises(BadInput, match=r"it has audio, and none .* ask with other media"):
        asyncio.run(SearchService(store, settings).search(Query("a bell")))
