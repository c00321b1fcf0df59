import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest

from pipelines.catalog.sources import Found, Problem, Source

Scan = tuple[dict[str, Found], list[Problem]]


def write(path: Path, data: bytes | str = "x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def scan(url: object) -> Scan:
    found, problems = Source(str(url)).scan()
    return {file.file_name: file for file in found}, problems


def test_finds_files_of_all_subfolders_in_stable_order_but_none_that_are_hidden(
    tmp_path: Path,
) -> None:
    for name in ("b.txt", "a.txt", "sub/deep/c.txt", ".hidden", ".git/config", "sub/.d/e.txt"):
        write(tmp_path / name)
    found, problems = Source(str(tmp_path)).scan()
    assert [file.file_name for file in found] == ["a.txt", "b.txt", "sub/deep/c.txt"]
    assert problems == []


def test_a_file_url_is_the_same_source_as_its_path(tmp_path: Path) -> None:
    write(tmp_path / "sub" / "a.txt")
    by_url, by_path = Source(tmp_path.as_uri()), Source(f"{tmp_path}/")
    assert by_url.url == by_path.url == tmp_path.as_uri()
    assert by_url.scan() == by_path.scan()


def test_a_single_file_is_a_source_too(tmp_path: Path) -> None:
    write(tmp_path / "a.txt")
    write(tmp_path / "b.txt")
    found, _ = scan(tmp_path / "b.txt")
    assert list(found) == ["b.txt"]


@pytest.fixture
def memory() -> Iterator[fsspec.AbstractFileSystem]:
    files = fsspec.filesystem("memory")
    yield files
    files.store.clear()
    files.pseudo_dirs[:] = [""]


@pytest.mark.parametrize("root", ["memory://raw", "memory://"])
def test_any_file_system_is_a_source(memory: fsspec.AbstractFileSystem, root: str) -> None:
    memory.pipe(f"{root}/sub/a.txt", b"hello")
    memory.pipe(f"{root}/metadata.jsonl", b'{"file_name": "sub/a.txt", "title": "A"}')
    source = Source(root)
    [file], problems = source.scan()
    assert (file.file_name, file.metadata, problems) == ("sub/a.txt", {"title": "A"}, [])
    assert source.read(file.path) == b"hello"
    assert fsspec.open(file.uri).open().read() == b"hello"


def test_a_source_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no folder or file"):
        Source(str(tmp_path / "nowhere")).scan()


# --- Metadata ------------------------------------------------------------------------------------


def jsonl(*rows: dict[str, Any]) -> str:
    return "".join(f"{json.dumps(row)}\n" for row in rows)


def test_metadata_belongs_to_files_of_its_folder_and_below(tmp_path: Path) -> None:
    for name in ("a.txt", "sub/b.txt", "sub/c.txt", "other.txt"):
        write(tmp_path / name)
    write(
        tmp_path / "metadata.jsonl",
        jsonl(
            {"file_name": "a.txt", "title": "A", "empty": ""},
            {"file_name": "sub/b.txt", "title": "far"},
            {"file_name": "./sub/c.txt", "title": "C"},
        ),
    )
    write(tmp_path / "sub/metadata.csv", 'file_name,title,tags\nb.txt,"near, nearer",\n')
    found, problems = scan(tmp_path)
    assert {name: file.metadata for name, file in found.items()} == {
        "a.txt": {"title": "A"},
        "sub/b.txt": {"title": "near, nearer"},
        "sub/c.txt": {"title": "C"},
        "other.txt": {},
    }
    assert problems == []


@pytest.mark.parametrize(
    "line",
    [
        '{"file_name": "b.txt", secret',
        '["b.txt"]',
        '{"title": "no name, secret"}',
        '{"file_name": "b.txt", "title": "\\ud800 secret"}',
        "[" * 100_000,
    ],
)
def test_a_broken_json_line_is_named_and_the_rest_goes_on(tmp_path: Path, line: str) -> None:
    for name in ("a.txt", "c.txt"):
        write(tmp_path / name)
    good = [jsonl({"file_name": name, "title": name}) for name in ("a.txt", "c.txt")]
    write(tmp_path / "metadata.jsonl", f"{good[0]}{line}\n{good[1]}")
    found, [problem] = scan(tmp_path)
    assert {name: (file.metadata or {}).get("title") for name, file in found.items()} == {
        "a.txt": "a.txt",
        "c.txt": "c.txt",
    }
    assert problem.uri.endswith("/metadata.jsonl#line=2")
    assert "secret" not in problem.reason and problem.permanent


@pytest.mark.parametrize("line", ["b.txt,one,secret", ",nameless", f"b.txt,{'x' * 140_000}"])
def test_a_broken_csv_line_is_named_and_the_rest_goes_on(tmp_path: Path, line: str) -> None:
    for name in ("a.txt", "c.txt"):
        write(tmp_path / name)
    write(tmp_path / "metadata.csv", f"file_name,title\na.txt,A\n{line}\nc.txt,C\n")
    found, [problem] = scan(tmp_path)
    assert [file.metadata for file in found.values()] == [{"title": "A"}, {"title": "C"}]
    assert problem.uri.endswith("/metadata.csv#line=3")
    assert "secret" not in problem.reason


def test_metadata_of_an_absent_file_is_a_problem(tmp_path: Path) -> None:
    write(
        tmp_path / "metadata.jsonl", jsonl({"file_name": "gone.txt"}, {"file_name": "../out.txt"})
    )
    found, problems = scan(tmp_path)
    assert found == {}
    assert len(problems) == 2 and "not there" in problems[0].reason


def test_what_broken_metadata_would_have_said_is_unknown_rather_than_nothing(
    tmp_path: Path,
) -> None:
    for name in ("a.txt", "named.txt", "sub/b.txt", "whole/c.txt"):
        write(tmp_path / name)
    write(tmp_path / "whole/metadata.jsonl", "")
    write(tmp_path / "sub/metadata.jsonl", b"\xff\xfe\xff")
    found, [problem] = scan(tmp_path)
    assert problem.reason == "metadata cannot be read: UnicodeDecodeError"
    assert {name: file.metadata for name, file in found.items()} == {
        "a.txt": {},
        "named.txt": {},
        "sub/b.txt": None,
        "whole/c.txt": {},
    }
    write(tmp_path / "metadata.jsonl", '{"file_name": "named.txt", "title": "T"}\n{broken')
    found, _ = scan(tmp_path)
    assert found["named.txt"].metadata == {"title": "T"}
    assert found["a.txt"].metadata is None and found["whole/c.txt"].metadata is None


def test_a_byte_order_mark_before_metadata_is_no_matter(tmp_path: Path) -> None:
    write(tmp_path / "a.txt")
    write(tmp_path / "metadata.csv", b"\xef\xbb\xbffile_name,title\r\na.txt,A\r\n")
    found, problems = scan(tmp_path)
    assert (found["a.txt"].metadata, problems) == ({"title": "A"}, [])


# --- Fingerprints --------------------------------------------------------------------------------


def fingerprint(folder: Path, name: str = "a.txt") -> str:
    return scan(folder)[0][name].fingerprint


def test_a_fingerprint_stays_while_the_file_does(tmp_path: Path) -> None:
    write(tmp_path / "a.txt")
    assert fingerprint(tmp_path) == fingerprint(tmp_path)


def test_a_fingerprint_shows_other_bytes_of_the_same_size_and_time(tmp_path: Path) -> None:
    file = write(tmp_path / "a.txt", "one")
    stamp, before = file.stat(), fingerprint(tmp_path)
    file.write_text("two")
    os.utime(file, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert fingerprint(tmp_path) != before


def test_a_fingerprint_follows_a_link_to_its_file(tmp_path: Path) -> None:
    target = write(tmp_path / "outside.txt", "one")
    raw = tmp_path / "raw"
    raw.mkdir()
    (raw / "a.txt").symlink_to(target)
    before = fingerprint(raw)
    target.write_text("two")
    os.utime(target, (1, 1))
    assert fingerprint(raw) != before


# --- What cannot be read -------------------------------------------------------------------------


def test_pipes_sockets_and_links_are_told_apart_without_opening_them(tmp_path: Path) -> None:
    write(tmp_path / "good.txt")
    write(tmp_path / "sub/inner.txt")
    os.mkfifo(tmp_path / "pipe.txt")
    (tmp_path / "to_pipe.txt").symlink_to("pipe.txt")
    (tmp_path / "broken.txt").symlink_to("nowhere")
    (tmp_path / "self.txt").symlink_to("self.txt")
    (tmp_path / "sub/up").symlink_to("..")
    (tmp_path / "to_good.txt").symlink_to("good.txt")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(tmp_path / "s"))
        found, problems = scan(tmp_path)
    assert sorted(found) == ["good.txt", "sub/inner.txt", "to_good.txt"]
    reasons = {problem.uri.rsplit("/", 1)[1]: problem.reason for problem in problems}
    assert reasons.keys() == {"pipe.txt", "to_pipe.txt", "broken.txt", "self.txt", "up", "s"}
    assert "pipe, socket or device" in reasons["pipe.txt"] == reasons["to_pipe.txt"] == reasons["s"]
    assert "not followed" in reasons["up"]
    assert "No such file" in reasons["broken.txt"]


def test_a_name_that_is_not_utf8_is_a_problem_that_can_be_printed(tmp_path: Path) -> None:
    write(tmp_path / "good.txt")
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.txt")).write_text("x")
    found, [problem] = scan(tmp_path)
    assert list(found) == ["good.txt"]
    assert problem.uri.encode().endswith(b"/caf\\udce9.txt") and "UTF-8" in problem.reason


ODD_NAMES = [
    "two words.txt",
    'it\'s "quoted".txt',
    "日本語 ünïcode 🫖.txt",
    "new\nline.txt",
    "-leading.txt",
    "[1]*?.txt",
    "100%20#a;b&c.txt",
    "back\\slash.txt",
    " blank ",
    "a::b.txt",
]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_odd_names_are_read(tmp_path: Path, name: str) -> None:
    write(tmp_path / name, "content")
    source = Source(str(tmp_path))
    [file], problems = source.scan()
    assert (file.file_name, problems) == (name, [])
    assert source.read(file.path) == b"content"


@pytest.mark.parametrize("folder", ["", "sub", "sub/deep"])
def test_an_unreadable_folder_is_a_problem_for_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    write(tmp_path / "a.txt")
    write(tmp_path / "sub/deep/b.txt")
    source = Source(str(tmp_path))
    listing = source.files.ls
    locked = str(tmp_path / folder)

    def ls(path: str, **how: Any) -> Any:
        if path == locked:
            raise PermissionError(13, "Permission denied", path)
        return listing(path, **how)

    monkeypatch.setattr(source.files, "ls", ls)
    _, [problem] = source.scan()
    assert problem == Problem(
        Path(locked).as_uri(), "the folder cannot be read: Permission denied", False
    )


@pytest.mark.parametrize("root", [".", "sub/b.txt"])
def test_what_is_said_of_one_file_is_what_a_scan_reads(tmp_path: Path, root: str) -> None:
    (tmp_path / "sub").mkdir()
    for name in ("a.txt", "sub/b.txt", "sub/c.txt"):
        (tmp_path / name).write_text(name)
    rows = ['{"file_name": "sub/b.txt", "title": "Far"}', '{"file_name": "sub/c.txt", "alt": "C"}']
    (tmp_path / "metadata.jsonl").write_text("\n".join(rows))
    (tmp_path / "sub/metadata.csv").write_text("file_name,title\nb.txt,Near\n")
    found, _ = Source(str(tmp_path / root)).scan()
    source = Source(str(tmp_path / root))
    assert {file.path: source.described(file.path) for file in found} == {
        file.path: file.metadata for file in found
    }
    (tmp_path / "sub/metadata.jsonl").write_text("{broken")
    assert Source(str(tmp_path)).described(found[-1].path) is None
