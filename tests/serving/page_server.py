"""A small home with pictures and a talk, and the real server over it, for a browser to look at."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import toy
from PIL import Image
from servers import served

from pipelines.models.protocols import ModelChoice
from pipelines.outcomes import now
from pipelines.reading.sound import as_flac
from pipelines.releases.publish import publish
from pipelines.search.service import SearchService
from pipelines.settings import Settings
from pipelines.store import Store
from serving.app import create_app

PICTURES = range(1, 11)
NOTES = range(15)
"""Items without anything to look at: with them there is a second page of results."""
CHOICES = dict.fromkeys(("visual", "caption"), ModelChoice("toy", toy.MODEL))
TALK, SAID_AT = "talks/2026 #1", 41.5
"""The talk says 11, at that second: 13.5 s into the second of its pieces."""
PIECES = {"sound-0": (0.0, 30.0), "sound-1": (28.0, 58.0)}
Row = dict[str, Any]

REGIONS = ('o\'hara "east"', "eu")


def picture(number: int) -> Image.Image:
    """A picture that the toy reads as a number."""
    return toy.picture(number).resize((320, 240))


def encoded(image: Image.Image, form: str) -> bytes:
    """Write a picture as a file."""
    buffer = io.BytesIO()
    image.save(buffer, form)
    return buffer.getvalue()


@contextmanager
def page_server(home: Path) -> Iterator[str]:
    """Serve the API and its page over a home; yields the address."""
    with pytest.MonkeyPatch.context() as patch:
        toy.use(patch)
        settings = Settings(home=home, refuse_nonsense=False)
        store = Store(settings.root)
        _stock(store)
        published = publish(store, CHOICES, settings)
        assert published.event == "promoted", published.verdict
        service = SearchService(store, settings, journal=True)
        with served(create_app(settings, service=service)) as url:
            yield url


def _stock(store: Store) -> None:
    rows: list[Row] = []
    for number in PICTURES:
        # A title is text, whatever it looks like.
        known = {"item_id": f"photo-{number}", "kind": "image", "title": f"Photo <b>{number}</b>"}
        blob = store.blobs.put(encoded(picture(number), "JPEG"), ".jpg")
        part = {"segment": "image", "kind": "image", "derivative": blob, "thumbnail": blob}
        _add(store, known | {"region": REGIONS[number % 2]}, [part])
        rows.append(_row(number, "image", known | {"region": REGIONS[number % 2]}))
    for number in NOTES:
        note = {"item_id": f"note-{number}", "kind": "text", "title": "A note", "region": "us"}
        _add(store, note, [{"segment": "text", "kind": "text"}])
        rows.append(_row(12, "text", note))
    sound = store.blobs.put(as_flac(toy.sound(11, 30.0)), ".flac")
    pieces: list[Row] = [
        {"segment": name, "kind": "sound", "start_s": start, "end_s": end, "derivative": sound}
        for name, (start, end) in PIECES.items()
    ]
    talk = {"item_id": TALK, "kind": "audio", "title": "A talk", "region": "eu"}
    _add(store, talk, pieces)
    rows.append(_row(11, "sound-1", talk | {"start_s": SAID_AT, "end_s": SAID_AT + 3}))
    for channel in CHOICES:
        store.channel(channel, toy.MODEL).upsert(rows)
    apart = ("identity", "vector")
    kept = [{name: row[name] for name in row if name not in apart} for row in rows]
    store.passages.upsert([row | {"source": "ocr", "text": row["title"]} for row in kept])


def _row(number: int, segment: str, known: Row) -> Row:
    return toy.row(known["item_id"], segment, number, **known)


def _add(store: Store, known: Row, parts: list[Row]) -> None:
    item = {"item_id": known["item_id"], "batch": "b"}
    origins = [{"uri": f"file:///{known['item_id']}"}]
    dates = {"registered_at": now(), "updated_at": now()}
    store.items.append([item | known | dates | {"origins": origins, "deleted": False}])
    keyed = [item | part | {"key": f"{item['item_id']}#{part['segment']}"} for part in parts]
    store.segments.append(keyed)
