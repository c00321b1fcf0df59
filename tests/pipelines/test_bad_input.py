"""Files that cannot be used: each becomes an outcome with a reason, and all others go on."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from deltalake.exceptions import DeltaError
from PIL import Image
from raw_files import bomb, pdf, picture

from pipelines.models.protocols import Identity
from pipelines.reading.ocr import Page
from pipelines.steps import ingest as ingest_module
from pipelines.steps.redact import RedactStep
from pipelines.steps.runner import Report, run
from pipelines.tables.blobs import BlobStore

# --- At ingest -----------------------------------------------------------------------------------


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that ingest reads."""
    names: list[str] = []
    read = ingest_module._read

    def noting(source: Any, file: Any, settings: Any) -> Any:
        names.append(file.file_name)
        return read(source, file, settings)

    monkeypatch.setattr(ingest_module, "_read", noting)
    return names


BAD_FILES = [
    ("empty.jpg", b"", "quarantined", "the file is empty (0 bytes)"),
    ("text.jpg", b"no picture", "quarantined", "named .jpg but holds plain text"),
    ("archive.zip", b"PK\x03\x04" + bytes(30), "skipped", "not a kind of media"),
    ("noise.dat", bytes(range(256)), "skipped", "no known signature"),
    ("noise.jpg", bytes(range(256)), "quarantined", "it is corrupt"),
    ("large.txt", b"x" * 2001, "quarantined", "2,001 bytes, more than max_bytes = 2,000"),
]


@pytest.mark.parametrize(("name", "data", "status", "reason"), BAD_FILES)
def test_a_bad_file_is_an_outcome_and_is_not_read_again(
    home: Any, reads: list[str], name: str, data: bytes, status: str, reason: str
) -> None:
    home.settings.max_bytes = 2000
    home.write(name, data)
    home.write("good.txt", "good")
    report = home.ingest()
    assert list(home.items()) == ["good.txt"]
    [outcome] = report.refused
    assert home.outcomes()[name]["reason"] == outcome["reason"]
    assert outcome["status"] == status and reason in outcome["reason"]
    reads.clear()
    assert home.ingest().refused[0]["reason"] == outcome["reason"]
    assert reads == []
    home.write(name, picture())
    home.ingest()
    assert name in home.items() and home.outcomes() == {}


def test_a_file_too_large_is_tried_again_when_more_is_allowed(home: Any) -> None:
    home.write("large.txt", "x" * 2001)
    home.ingest(max_bytes=2000)
    assert home.items() == {}
    home.ingest(max_bytes=3000)
    assert list(home.items()) == ["large.txt"] and home.outcomes() == {}


def test_a_file_that_turns_bad_keeps_its_item_as_it_was(home: Any) -> None:
    home.write("a.txt", "good")
    home.ingest()
    before = home.items()
    home.write("a.txt", "")
    home.ingest()
    assert home.items() == before
    assert home.outcomes()["a.txt"]["status"] == "quarantined"
    home.write("a.txt", "good again")
    home.ingest()
    assert home.ids()["a.txt"] == before["a.txt"]["item_id"] and home.outcomes() == {}


def test_a_file_that_cannot_be_read_is_tried_again(
    home: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.settings.retry_delay_s = 0.0
    home.write("a.txt", "A")
    home.write("b.txt", "B")
    read = ingest_module._read

    def failing(source: Any, file: Any, settings: Any) -> Any:
        if file.file_name == "a.txt":
            raise OSError(5, "secret path of the machine")
        return read(source, file, settings)

    with monkeypatch.context() as broken:
        broken.setattr(ingest_module, "_read", failing)
        home.ingest()
    assert list(home.items()) == ["b.txt"]
    outcome = home.outcomes()["a.txt"]
    assert (outcome["status"], outcome["reason"]) == ("failed", "Input/output error")
    home.ingest()
    assert sorted(home.items()) == ["a.txt", "b.txt"] and home.outcomes() == {}


ODD_NAMES = ["two words", 'it\'s "quoted"', "ünï 🫖", "new\nline", "-rf", "a::b", "[*]", "50%#?"]


def test_odd_names_are_indexed(home: Any) -> None:
    for name in ODD_NAMES:
        home.write(name, name)
    home.ingest()
    assert sorted(home.items()) == sorted(ODD_NAMES)
    before = home.versions()
    home.ingest()
    assert home.versions() == before
    for name in ODD_NAMES:
        (home.raw / name).unlink()
    assert home.ingest().deleted == len(ODD_NAMES)


@pytest.mark.parametrize(
    "name", ["jane@example.com.jpg", "sub/jane@example.com", "123-45-6789.txt"]
)
def test_a_name_that_holds_personal_data_is_refused_and_kept_nowhere(home: Any, name: str) -> None:
    home.write(name, "text")
    home.ingest()
    assert home.items() == {}
    [outcome] = home.store.outcomes.rows()
    assert outcome["uri"].startswith(f"{home.raw.as_uri()}/") and "<" in outcome["uri"]
    assert outcome["reason"] == "its name holds personal data; rename the file"
    assert home.holds("jane@example.com") == home.holds("123-45-6789") == []
    (home.raw / name).rename(home.raw / "renamed.txt")
    home.ingest()
    assert list(home.items()) == ["renamed.txt"] and home.store.outcomes.rows() == []


@pytest.mark.parametrize("kind", ["folder", "suffix", "metadata", "item_id", "pipe", "not UTF-8"])
def test_personal_data_beside_a_file_is_kept_nowhere(home: Any, kind: str) -> None:
    secret = "jane@example.com"
    match kind:
        case "folder":
            home.write(f"{secret}/a.txt", "A")
        case "suffix":
            home.write("a.123-45-6789", "A")
        case "metadata":
            home.write("metadata.jsonl", f'{{"file_name": "{secret}.jpg"}}\n{{broken {secret}')
        case "item_id":
            home.write("a.txt", "A")
            home.write("metadata.csv", f"file_name,item_id\na.txt,{secret}\n")
        case "pipe":
            os.mkfifo(home.raw / secret)
        case "not UTF-8":
            Path(os.fsdecode(os.fsencode(home.raw / secret) + b"\xe9")).write_text("A")
    report = home.ingest()
    assert report.refused and home.items() == {}
    assert home.holds(secret) == home.holds("123-45-6789") == []
    assert secret not in str(report)


def test_a_name_that_is_not_utf8_is_an_outcome(home: Any) -> None:
    Path(os.fsdecode(os.fsencode(home.raw) + b"/caf\xe9.txt")).write_text("x")
    home.write("good.txt", "good")
    home.ingest()
    assert list(home.items()) == ["good.txt"]
    assert "UTF-8" in home.outcomes()["caf\\udce9.txt"]["reason"]


# --- At redaction --------------------------------------------------------------------------------


class BlankReader:
    """Reads no text in any image."""

    identity = Identity("blank", "1", "", "", 0, "")

    def read(self, image: Image.Image, height: float | None = None) -> Page:
        return Page("", (), None)


def redact(home: Any) -> Report:
    reader: Any = BlankReader()
    step = RedactStep(home.store, reader, home.detector, home.settings)
    [batch] = {row["batch"] for row in home.store.items.rows(["batch"])}
    return run(step, batch, home.settings)


def refusals(home: Any) -> dict[str, str]:
    """Reasons by file name of the items that redaction did not accept."""
    names = {item_id: name for name, item_id in home.ids().items()}
    rows = home.store.outcomes.rows(where="step = 'redacted_media' AND status = 'quarantined'")
    return {names[row["item_id"]]: row["reason"] for row in rows}


def test_bad_media_are_quarantined_until_their_bytes_change(home: Any) -> None:
    home.settings.max_pages = 2
    home.write("good.jpg", picture())
    home.write("good.pdf", pdf(2))
    home.write("wide.png", picture(size=(60_000, 1), format="PNG"))
    bad = {
        "truncated.jpg": (picture("blue", (200, 200))[:-200], "truncated or corrupt"),
        "truncated.png": (picture("blue", (99, 99), "PNG")[:-30], "truncated or corrupt"),
        "corrupt.jpg": (b"\xff\xd8\xff\xe0" + bytes(99), "corrupt"),
        "bomb.png": (bomb(), "more pixels than max_pixels"),
        "long.pdf": (pdf(3), "3 pages, more than max_pages = 2"),
        "locked.pdf": (pdf(1, encrypted=True), "encrypted"),
        "blank.pdf": (pdf(0), "cannot be read"),
        "broken.pdf": (b"%PDF-1.7\nnot really", "cannot be read"),
    }
    for name, (data, _) in bad.items():
        home.write(name, data)
    assert home.ingest().new == 3 + len(bad)
    assert redact(home).encoded == 3
    found = refusals(home)
    assert found.keys() == bad.keys()
    assert {name for name, (_, reason) in bad.items() if reason not in found[name]} == set()
    again = redact(home)
    assert (again.encoded, again.failures) == (0, [])
    for name in bad:
        home.write(name, picture("green", (30, 30 + len(name))))
    home.ingest()
    redact(home)
    assert refusals(home) == {}


# --- No space ------------------------------------------------------------------------------------


def test_a_derivative_without_space_fails_for_now(
    home: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.settings.retry_delay_s = 0.0
    home.write("a.jpg", picture())
    home.ingest()

    def full(*args: Any, **how: Any) -> str:
        raise OSError(28, "No space left on device", "/secret/path")

    with monkeypatch.context() as small:
        small.setattr(BlobStore, "put", full)
        [failure] = redact(home).failures
        assert (failure["status"], failure["reason"]) == ("failed", "No space left on device")
    assert redact(home).encoded == 1


@pytest.fixture
def small_disk(home: Any) -> Iterator[Path]:
    """Mount a disk of 512 KiB as the home."""
    home.path.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(home.path)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("mounting a disk takes more rights")
    yield home.path
    subprocess.run(["umount", str(home.path)], check=True)


@pytest.mark.slow
def test_a_full_disk_stops_ingest_and_the_next_run_completes_it(
    home: Any, small_disk: Path
) -> None:
    home.write("a.txt", "A")
    home.ingest()
    for number in range(100):
        home.write(f"{number}.txt", f"text {number}")
    ballast = small_disk / "ballast"
    with pytest.raises(OSError, match=r"(?i)no space"), ballast.open("wb") as file:
        while file.write(b"x" * 4096):
            pass
    with pytest.raises((OSError, DeltaError), match=r"(?i)no space"):
        home.ingest()
    assert list(home.items()) == ["a.txt"]
    ballast.unlink()
    report = home.ingest()
    assert (report.new, report.unchanged) == (100, 1)
    assert len(home.items()) == 101
