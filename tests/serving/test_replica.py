"""A storage that goes away and comes back: a copy answers meanwhile, and nothing hidden shows."""

import asyncio
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from answering import running
from servers import served
from toy import CHOICES, MODEL, Toy, fill, item_id
from waiting import PATIENCE_S, until, wait_until

from pipelines import ledger
from pipelines.errors import NotReleased
from pipelines.models import factory
from pipelines.releases.publish import publish
from pipelines.rights import Caller
from pipelines.search import following, outages
from pipelines.search.asked.query import Query
from pipelines.search.hidden import Hidden
from pipelines.search.service import SearchService
from pipelines.settings import Settings
from pipelines.store import Store
from serving.app import create_app

ALL = {item_id(number) for number in range(6)}


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A home with a release of six items."""
    monkeypatch.setattr(factory, "image_encoder", Toy)
    monkeypatch.setattr(outages, "PROBE_S", 0.1)
    settings = Settings(
        home=tmp_path / "home",
        replica=str(tmp_path / "copy"),
        index_rows=300,
        mirror_bytes=0,
        refuse_nonsense=False,
    )
    store = Store(settings.root)
    fill(store, range(6))
    assert publish(store, CHOICES, settings).event == "promoted"
    return settings


def copied(settings: Settings) -> None:
    """Keep the copy up to date, as replication does."""
    shutil.copytree(settings.home, settings.replica, dirs_exist_ok=True)


def gone(settings: Settings) -> Path:
    """Take the storage away; returns where it is."""
    return settings.home.rename(settings.home.with_name("elsewhere"))


def back(settings: Settings) -> None:
    """Bring it back to its place, which nobody may have taken."""
    settings.home.with_name("elsewhere").rename(settings.home)


async def ids(service: SearchService, text: str = "1", caller: Caller | None = None) -> set[str]:
    """Search, and check that the answer says what it comes from."""
    answer = await service.search(Query(text), caller=caller)
    flags = [each["input"] for each in answer["degraded"]]
    assert flags == (["storage"] if service.stands_in else [])
    return {result["item_id"] for result in answer["results"]}


def files(root: Path | str) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in Path(root).rglob("*") if path.is_file()}


class Asking(threading.Thread):
    """Searches without a pause, and keeps what came."""

    def __init__(self, url: str):
        super().__init__(daemon=True)
        self.url = url
        self.answers: list[tuple[int, set[str], str]] = []
        self.stopped = threading.Event()

    def run(self) -> None:
        with httpx.Client(base_url=self.url, timeout=20) as http:
            number = 0
            while not self.stopped.is_set():
                number = (number + 1) % 100
                found = http.get("/search", params={"text": str(number)})
                answer = found.json() if found.status_code == 200 else {}
                known = {each["item_id"] for each in answer.get("results", ())}
                flags = ",".join(each["input"] for each in answer.get("degraded", ()))
                self.answers.append((found.status_code, known, flags))


@pytest.fixture
def server(settings: Settings) -> Iterator[tuple[str, SearchService]]:
    """The API over a home that is copied, with the release in memory, and its service."""
    copied(settings)
    held = settings.model_copy(update={"mirror_bytes": 1 << 20})
    service = SearchService(Store(settings.root), held, mirror=True, journal=True)
    with served(create_app(held, service=service)) as url:
        yield url, service


def test_no_request_fails_while_the_storage_goes_away_and_comes_back(
    server: tuple[str, SearchService], settings: Settings
) -> None:
    url, service = server
    clients = [Asking(url) for _ in range(3)]
    before = files(settings.replica)
    for client in clients:
        client.start()
    wait_until(lambda: all(len(client.answers) > 5 for client in clients))
    queries = Store(settings.root).queries
    # The table is made, then written to; the next rows follow a second later.
    wait_until(lambda: (queries.version or 0) > 0)
    gone(settings)
    with httpx.Client(base_url=url, timeout=20) as http:
        wait_until(lambda: all(client.answers[-1][2] == "storage" for client in clients))
        assert http.get("/readyz").json()["storage"] == "replica"
        assert http.get("/health").status_code == http.get("/releases").status_code == 200
        similar = http.get(f"/similar/{item_id(1)}").json()
        assert {each["item_id"] for each in similar["results"]} == ALL - {item_id(1)}
        assert similar["degraded"][0]["input"] == "storage"
        query = http.get("/search", params={"text": "3"}).json()
        said = {"query_id": query["query_id"], "item_id": item_id(3), "kind": "click"}
        assert http.post("/feedback", json=said).status_code == 204
        wait_until(lambda: service.stats()["journal"]["dropped"] > 10)
        metrics = http.get("/metrics").text
        assert "storage_away 1.0" in metrics and 'journal{what="dropped"}' in metrics
        assert files(settings.home) == {}
        assert files(settings.replica) == before
        back(settings)
        wait_until(lambda: all(client.answers[-1][2] == "" for client in clients))
        assert "storage" not in http.get("/readyz").json()
        assert "storage_away 0.0" in http.get("/metrics").text
    for client in clients:
        client.stopped.set()
        client.join()
    answers = [answer for client in clients for answer in client.answers]
    assert {(status, frozenset(found)) for status, found, _ in answers} == {(200, frozenset(ALL))}


def test_what_was_known_of_the_ledger_last_holds_in_an_older_copy(settings: Settings) -> None:
    copied(settings)
    store = Store(settings.root)

    async def work() -> None:
        service = SearchService(store, settings)
        assert await ids(service) == ALL
        ledger.erase(store, [item_id(1), item_id(2)], "asked for")
        ledger.settle(store, [item_id(2)])  # As after a purge: only its mark is left.
        assert item_id(1) not in await ids(service)
        gone(settings)
        assert await ids(service) == ALL - {item_id(1), item_id(2)}
        ledger.erase(Store(settings.replica), [item_id(4)], "in what the copy was made from")
        assert await ids(service) == ALL - {item_id(1), item_id(2), item_id(4)}
        await service.close()

    asyncio.run(work())


def test_consent_and_rights_that_were_seen_to_be_withdrawn_stay_so(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied(settings)
    store = Store(settings.root)
    caller = Caller(user="ana", region="eu")
    changed = {"consent": {"consent": "revoked"}, "region": {"region": "us"}}

    async def work() -> None:
        service = SearchService(store, settings)
        assert await ids(service, caller=caller) == ALL
        for number, new in enumerate(changed.values()):
            where = f"item_id = '{item_id(number)}'"
            store.items.replace(where, [store.items.rows(where=where)[0] | new])
        monkeypatch.setattr(following, "_POLL_S", 0.0)
        monkeypatch.setattr(following, "_IDLE_S", 0.0)
        assert await ids(service, caller=caller) == ALL - {item_id(0), item_id(1)}
        gone(settings)
        assert await ids(service, caller=caller) == ALL - {item_id(0), item_id(1)}
        assert await ids(service) == ALL - {item_id(0)}
        assert await service.item(item_id(1), caller) is None
        await service.close()

    asyncio.run(work())


def test_a_start_without_the_storage_goes_by_the_ledger_of_the_copy(settings: Settings) -> None:
    ledger.erase(Store(settings.root), [item_id(3)], "asked for")
    copied(settings)
    gone(settings)

    async def work() -> None:
        async with running(create_app(settings, needs_token=False), "127.0.0.1") as client:
            ready = (await client.get("/readyz")).json()
            assert ready == {"status": "ok", "release": "r000001", "storage": "replica"}
            answer = (await client.get("/search", params={"text": "1"})).json()
            assert {each["item_id"] for each in answer["results"]} == ALL - {item_id(3)}

    asyncio.run(work())


def test_tables_that_fail_and_a_storage_that_hangs_are_away_too(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied(settings)
    monkeypatch.setattr(following, "PATIENCE_S", 0.2)
    release, look = threading.Event(), Hidden.look_at_ledger

    def hanging(hidden: Hidden) -> bool:
        if hidden.of is None:
            release.wait(PATIENCE_S)
        return look(hidden)

    async def work() -> None:
        service = SearchService(Store(settings.root), settings)
        assert await ids(service) == ALL
        lance = settings.home / "lance"
        lance.rename(lance.with_name("moved"))
        assert await ids(service, "2") == ALL and service.stands_in == "replica"
        await asyncio.sleep(0.3)
        assert service.stands_in == "replica"
        lance.with_name("moved").rename(lance)
        await returned(service)
        monkeypatch.setattr(Hidden, "look_at_ledger", hanging)
        assert await ids(service, "3") == ALL and service.stands_in == "replica"
        release.set()
        await returned(service)
        assert await ids(service, "4") == ALL
        await service.close()

    asyncio.run(work())


async def returned(service: SearchService) -> None:
    await until(lambda: not service.stands_in)


def test_without_a_copy_that_opens_memory_answers_and_what_is_hidden_stays_so(
    settings: Settings,
) -> None:
    store = Store(settings.root)
    held = settings.model_copy(update={"mirror_bytes": 1 << 20})
    ledger.erase(store, [item_id(3)], "asked for")

    async def work() -> None:
        service = SearchService(store, held, mirror=True)
        await service.start()
        assert await ids(service) == ALL - {item_id(3)}
        gone(settings)
        assert await ids(service, "2") == ALL - {item_id(3)} and service.stands_in == "memory"
        back(settings)
        await returned(service)
        assert await ids(service, "5") == ALL - {item_id(3)}
        await service.close()

    asyncio.run(work())


def test_without_the_setting_nothing_is_answered_where_the_ledger_is_gone(
    settings: Settings,
) -> None:
    alone = settings.model_copy(update={"replica": "", "mirror_bytes": 1 << 20})
    store = Store(settings.root)
    ledger.erase(store, [item_id(3)], "asked for")

    async def work() -> None:
        service = SearchService(store, alone, mirror=True)
        await service.start()
        assert await ids(service) == ALL - {item_id(3)}
        gone(settings)
        with pytest.raises(NotReleased, match="set `replica`"):
            await ids(service, "2")
        back(settings)
        assert await ids(service, "2") == ALL - {item_id(3)}
        await service.close()

    asyncio.run(work())


def test_a_newer_release_of_the_copy_is_followed(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied(settings)
    monkeypatch.setattr(outages, "PROBE_S", 30.0)
    monkeypatch.setattr(following, "_POLL_S", 0.0)
    monkeypatch.setattr(following, "_IDLE_S", 0.0)

    async def work() -> Any:
        service = SearchService(Store(settings.root), settings)
        assert await ids(service) == ALL
        gone(settings)
        assert await ids(service) == ALL
        copy = Store(settings.replica)
        copy.channel("visual", MODEL).remove([f"{item_id(0)}#image"])
        copy.passages.remove([f"{item_id(0)}#image"])
        where = f"item_id = '{item_id(0)}'"
        copy.items.replace(where, [copy.items.rows(where=where)[0] | {"deleted": True}])
        publish(copy, CHOICES, settings)
        assert await ids(service) == ALL - {item_id(0)}
        await service.close()

    asyncio.run(work())
