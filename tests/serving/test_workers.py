"""Several processes over one home: they agree, count together, and end in order."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import toy
from servers import free_port, wait_until_ready
from waiting import wait_until

from pipelines.releases.publish import publish
from pipelines.settings import Settings
from pipelines.store import Store

WORKERS = 2
COMMAND = [str(Path(sys.executable).with_name("mediadex")), "serve"]


@pytest.fixture
def home(tmp_path: Path) -> Settings:
    """A home without any model: words find what they say."""
    settings = Settings(home=tmp_path)
    store = Store(settings.root)
    toy.fill(store, range(5), title="here")
    publish(store, {}, settings)
    return settings


@pytest.fixture
def server(home: Settings) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    port = free_port()
    options = ["--port", str(port), "--workers", str(WORKERS), "--home", str(home.home)]
    env = os.environ | {"MEDIADEX_MIRROR_BYTES": "0"}
    server = subprocess.Popen([*COMMAND, *options], stderr=subprocess.PIPE, text=True, env=env)
    yield f"http://127.0.0.1:{port}", server
    server.kill()
    server.wait()


@pytest.mark.slow
def test_workers_agree_and_count_together(server: tuple[str, subprocess.Popen[str]]) -> None:
    url, process = server
    wait_until_ready(url, process)
    answers = []
    for _ in range(40):  # each by a connection of its own, which any worker may take
        params = {"text": "worditem", "where": f"kind <> 'k{len(answers)}'"}
        answers.append(httpx.get(f"{url}/v1/search", params=params, timeout=60))
        assert answers[-1].status_code == 200
    results = {
        json.dumps([(each["item_id"], each["score"]) for each in answer.json()["results"]])
        for answer in answers
    }
    assert len(results) == 1
    counted = re.search(
        r'http_requests_total\{method="GET",route="/search",status="200"\} (\d+)',
        httpx.get(f"{url}/metrics", timeout=60).text,
    )
    assert counted and int(counted[1]) == len(answers)

    def misses() -> int:
        text = httpx.get(f"{url}/metrics", timeout=60).text
        return int(float(text.partition('cache_misses{level="results"} ')[2].split()[0]))

    # Whichever answers, the other one has told within a second.
    wait_until(lambda: misses() == len(answers))
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0
    lines = [json.loads(line) for line in process.stderr or () if line.startswith("{")]
    asked = [line for line in lines if line.get("route") == "/search"]
    assert len(asked) == len(answers) and "worditem" not in json.dumps(lines)


def test_a_home_without_tokens_is_not_served_to_others(tmp_path: Path) -> None:
    command = [*COMMAND, "--host", "0.0.0.0", "--home", str(tmp_path)]
    refused = subprocess.run(command, capture_output=True, text=True)
    assert refused.returncode == 1
    assert "mediadex tokens add" in refused.stderr and "--open" in refused.stderr
