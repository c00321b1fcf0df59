"""Queries for the shared media with what they should find, as `mediadex evaluate` reads them."""

import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
from PIL import Image
from speaking import speak
from spoken_clips import read_sound

from tests.pipelines.made_media import film, sound

# What stands on receipts, by the number in the file's name.
PRODUCTS = {
    "auto eco wash and shine": ["004"],
    "handkerchief": ["004"],
    "plastic cash bill": ["005"],
    "crocs tubes": ["007"],
    "braised pork and jasmine green tea": ["020"],
    "roast chicken rice": ["020"],
    "fried noodles with pork": ["045"],
    "vegetables and meat, bar wang rice": ["030", "033", "044", "045"],
    "guinness and tiger beer at a bistro": ["040"],
    "metal name badge clips": ["073"],
    "box of staples": ["326"],
    "greencell batteries": ["517"],
    "parking ticket": ["587"],
    "kitchen lighter and cotton mop": ["590"],
    "tom yum soup": ["592"],
    "butter cream chicken rice": ["593"],
    "butterfly safety pins": ["624"],
}
# What films show and recordings say, in words other than those of their labels.
SEEN = {
    "a cartoon of a meadow with a tree": ["Big_Buck_Bunny_360_10s_1MB.mp4"],
    "heavy traffic in an asian city": ["bangkok_half_res.mp4"],
    "motorbikes and taxis on a road": ["bangkok_half_res.mp4"],
    "a young cat on a couch": ["spaces_and_quote_half_res.mp4"],
    "digits that count frames": ["test_13_frames.mp4", "test_462_frames.mp4"],
}
SAID = {"we shall be as a city upon a hill": ["jfk_1961_0109_cityuponahill-excerpt.flac"]}


def in_words(media: Path) -> Iterator[dict[str, Any]]:
    """Yield text queries: photos by caption and class, receipts, speech and films."""
    classes = defaultdict(list)
    for row in _rows(media / "photos" / "captions.jsonl"):
        for caption in row.get("captions", ()):
            yield _labelled("photo", [row["file"]], query=caption)
        classes[row.get("label")].append(row["file"])
    for name, files in classes.items():
        if name:
            yield _labelled("clothing", files, query=f"a photo of a {name}")
    shops = defaultdict(list)
    for row in _rows(media / "documents" / "text.jsonl"):
        shops[row["key"]["company"].lower()].append(row["file"])
    for shop, files in shops.items():
        yield _labelled("shop", files, query=shop)
    for words, numbers in PRODUCTS.items():
        yield _labelled("product", [f"sroie_{each}.jpg" for each in numbers], query=words)
    for row in _rows(media / "speech" / "transcripts.jsonl"):
        words = row["transcript"].split()
        yield _labelled("speech", [row["file"]], query=" ".join(words))
        if len(words) > 6:
            yield _labelled("speech", [row["file"]], query=" ".join(words[len(words) // 2 :]))
    for row in _rows(media / "video" / "labels.jsonl"):
        yield _labelled("film", [row["file"]], query=row["caption"])
    for words, files in SEEN.items():
        yield _labelled("film", files, query=words)
    for words, files in SAID.items():
        yield _labelled("speech", files, query=words)


def in_media(media: Path, folder: Path, every: int = 1) -> Iterator[dict[str, Any]]:
    """Yield queries by picture, sound and film, which are parts of indexed files; write these.

    `every` takes one of so many.
    """
    folder.mkdir(parents=True, exist_ok=True)
    photos = _rows(media / "photos" / "captions.jsonl")
    receipts = _rows(media / "documents" / "text.jsonl")
    pictures = [("photos", row["file"]) for row in photos if "caption" in row]
    pictures += [("documents", row["file"]) for row in receipts[::2]]
    for where, name in pictures[::every]:
        part = folder / f"{Path(name).stem}.jpg"
        with Image.open(media / where / name) as image:
            wide, high = image.size
            box = (wide // 8, high // 8, wide - wide // 6, high - high // 5)
            image.convert("RGB").crop(box).save(part, quality=85)
        yield _labelled("picture", [name], image=str(part))
    films = [row["file"] for row in _rows(media / "video" / "labels.jsonl")[:3]]
    for name in films[::every]:
        still, clip = folder / f"{Path(name).stem}.png", folder / f"{Path(name).stem}.mp4"
        shown = _pictures(media / "video" / name)
        shown[len(shown) // 2].save(still)
        clip.write_bytes(film(shown[len(shown) // 2 :], 0.2, None, fps=5, size=(320, 180)))
        yield _labelled("still", [name], image=str(still))
        yield _labelled("clip", [name], video=str(clip))
    speech = _rows(media / "speech" / "transcripts.jsonl")
    for row in speech[::every]:
        heard, part = read_sound(media / "speech" / row["file"]), folder / Path(row["file"]).name
        part = part.with_suffix(".flac")
        part.write_bytes(sound(heard[: len(heard) * 2 // 3]))
        yield _labelled("sound", [row["file"]], audio=str(part))
    described = [row for row in photos if "caption" in row]
    for row in described[:: 3 * every]:
        part = folder / f"{Path(row['file']).stem}.flac"
        part.write_bytes(sound(speak(row["caption"], "en-us+f2", 120)))
        yield _labelled("spoken", [row["file"]], audio=str(part))


def _pictures(path: Path) -> list[Image.Image]:
    with av.open(str(path)) as container:
        frames = [frame.to_image() for frame in container.decode(video=0)]
    return frames[:: max(1, round(len(frames) / 50))]


def _labelled(segment: str, files: list[str], **asked: str) -> dict[str, Any]:
    return {
        "query": None,
        "image": None,
        **asked,
        "relevant": dict.fromkeys(files, 1),
        "segment": segment,
    }


def _rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]
