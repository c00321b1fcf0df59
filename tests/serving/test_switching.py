"""A real server under load while releases are switched: no answer fails, is mixed, or is late."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from servers import served
from toy import CHOICES, MODEL, Toy, fill, item_id
from waiting import wait_until

from pipelines.models import factory
from pipelines.releases.publish import promote, publish, rollback
from pipelines.settings import Settings
from pipelines.store import Store
from serving.app import create_app

CLIENTS = 4
SWITCHES = 50
LATE = 200
"""Answers of a client that a switch may take: two seconds of them where nothing else runs."""

PAUSE_S = 0.005
OF = {"r000001": ("A", range(50)), "r000002": ("B", range(25, 75))}


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A home with two releases that share no title and half of their items."""
    monkeypatch.setattr(factory, "image_encoder", Toy)
    settings = Settings(home=tmp_path, index_rows=300)
    store = Store(settings.root)
    title, numbers = OF["r000001"]
    fill(store, numbers, title=title)
    publish(store, CHOICES, settings)
    gone = [f"{item_id(number)}#image" for number in range(25)]
    store.channel("visual", MODEL).remove(gone)
    store.passages.remove(gone)
    title, numbers = OF["r000002"]
    fill(store, numbers, title=title)
    publish(store, CHOICES, settings)
    return settings


@pytest.fixture
def server(settings: Settings) -> Iterator[str]:
    """The API over the home, on a free port."""
    with served(create_app(settings)) as url:
        yield url


class Client(threading.Thread):
    """Searches again and again, checks every answer whole, and counts what a switch takes."""

    def __init__(self, url: str):
        super().__init__(daemon=True)
        self.url = url
        self.answers = 0
        self.release = ""
        self.awaited = "r000002"
        self.late = self.latest = 0
        self.wrong: list[str] = []
        self.stopped = threading.Event()

    def run(self) -> None:
        with httpx.Client(base_url=self.url, timeout=10) as http:
            while not self.stopped.is_set():
                try:
                    self._check(http.get("/search", params={"text": "30", "k": 200}))
                except httpx.HTTPError as error:
                    self.wrong.append(repr(error))
                # All clients are threads of the server's process, and share its interpreter.
                time.sleep(PAUSE_S)

    def _check(self, response: httpx.Response) -> None:
        self.answers += 1
        if response.status_code != 200:
            self.wrong.append(response.text)
            return
        answer = response.json()
        title, numbers = OF[answer["release"]]
        found = {result["item_id"]: result["title"] for result in answer["results"]}
        if found != {item_id(number): title for number in numbers}:
            self.wrong.append(f"{answer['release']}: {sorted(set(found.values()))}, {len(found)}")
        self.release = answer["release"]
        self.late = self.late + 1 if self.release != self.awaited else 0
        self.latest = max(self.latest, self.late)


@pytest.mark.slow
def test_switching_fails_no_query_and_mixes_no_answer(server: str, settings: Settings) -> None:
    store = Store(settings.root)
    clients = [Client(server) for _ in range(CLIENTS)]
    for client in clients:
        client.start()
    took = []
    for switch in range(SWITCHES):
        if switch % 2:
            release = promote(store, "r000002", settings).manifest.release
        else:
            release = rollback(store, "r000001").release
        started = time.perf_counter()
        for client in clients:
            client.awaited = release
        wait_until(lambda: all(client.release == client.awaited for client in clients))
        took.append(time.perf_counter() - started)
    for client in clients:
        client.stopped.set()
        client.join()
    assert [client.wrong for client in clients] == [[]] * CLIENTS
    assert min(client.answers for client in clients) > SWITCHES
    latest = max(client.latest for client in clients)
    assert latest < LATE
    answers, median = sum(client.answers for client in clients), sorted(took)[SWITCHES // 2]
    print(f"\n{answers} answers; switches seen in {median:.2f} s, at most {max(took):.2f} s,")
    print(f"after at most {latest} answers of a client")


def test_the_first_query_after_a_quiet_time_sees_the_switch(
    server: str, settings: Settings
) -> None:
    with httpx.Client(base_url=server, timeout=10) as http:
        assert http.get("/search", params={"text": "30"}).json()["release"] == "r000002"
        time.sleep(1.6)
        rollback(Store(settings.root))
        assert http.get("/search", params={"text": "30"}).json()["release"] == "r000001"
        assert http.get("/release").json()["release"] == "r000001"
        assert http.get("/health").json() == {"status": "ok", "release": "r000001"}
        states = [(row["release"], row["state"]) for row in http.get("/releases").json()]
    assert states == [("r000002", "rolled back"), ("r000001", "serving")]
