"""A real server, a real upload, the whole pipeline, and the very next request."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from running import MEDIADEX, ROOT, bytes_below, mediadex_alone
from servers import free_port, wait_until_ready

SECRET = "ana.example@example.org"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A home with one item and a server of it; ends with the process."""
    home, raw = tmp_path / "home", tmp_path / "raw"
    raw.mkdir()
    (raw / "first.txt").write_text("A green tractor in the barn.")
    mediadex_alone(home, "index", str(raw))
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [MEDIADEX, "serve", "--port", str(port), "--home", str(home), "--seconds", "240"]
    with subprocess.Popen(command, cwd=ROOT) as process:
        try:
            wait_until_ready(url, process)
            yield home, url
        finally:
            process.terminate()


def token(home: Path, **caller: Any) -> dict[str, str]:
    made = mediadex_alone(home, "tokens", "add", json.dumps(caller))
    return {"Authorization": f"Bearer {made['token']}"}


@pytest.mark.slow
def test_an_upload_is_redacted_and_found_in_the_next_request(server: tuple[Path, str]) -> None:
    home, url = server
    scopes = ["search", "upload"]
    ana = token(home, user="ana", region="eu", groups=["press"], scopes=scopes)
    bob = token(home, user="bob", region="us", groups=["press"], scopes=scopes)
    seconds = []
    with httpx.Client(base_url=url, timeout=300) as client:

        def found(headers: dict[str, str], words: str) -> set[str]:
            answer = client.get("/v1/search", params={"text": words}, headers=headers).json()
            return {result["item_id"] for result in answer["results"]}

        for place in ("harbour", "orchard"):
            words = f"The violet zeppelin above the {place}"
            answer = client.post(
                "/v1/items",
                files={"file": ("note.txt", f"{words}. Write to {SECRET}.".encode())},
                data={"metadata": json.dumps({"title": place, "access": ["press"]})},
                headers=ana,
            )
            assert answer.status_code == 201, answer.text
            item = answer.json()["item_id"]
            assert item in found(ana, words) and item not in found(bob, words)
            seconds.append(answer.json()["seconds"])
    # The first loads models, which the process keeps.
    print(f"seconds from an upload to the answer: {seconds}")
    left_out = {path for path in bytes_below(home, [SECRET]).get(SECRET, [])}
    assert left_out and all(path.startswith("uploads/") for path in left_out)
    mediadex_alone(home, "erase", item)
    # Unlike a source, the folder of uploads is the home's own.
    assert len(bytes_below(home, [SECRET])[SECRET]) == len(left_out) - 1
