"""A candidate on trial: some users get it, always the same ones, until it is decided on."""

import asyncio
import logging
import shutil
import time
from pathlib import Path

import pytest
from answering import running
from toy import CHOICES, MODEL, OTHER, Toy, fill, item_id
from waiting import until

from pipelines.models import factory
from pipelines.models.protocols import ModelChoice
from pipelines.releases import log
from pipelines.releases.publish import promote, publish, rollback
from pipelines.rights import Caller
from pipelines.search import following, outages
from pipelines.search.asked.query import Query
from pipelines.search.service import SearchService
from pipelines.settings import Settings
from pipelines.store import Store
from pipelines.tokens import Tokens
from serving.access import TOKENS
from serving.app import create_app

USERS = [f"user {number}" for number in range(30)]
TITLES = {"r000001": "v1", "r000002": "v2"}
OTHERS = {"visual": ModelChoice("other", OTHER)}


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A home that serves a release, where another model's waits in tables of its own."""
    monkeypatch.setattr(factory, "image_encoder", Toy)
    monkeypatch.setattr(following, "_POLL_S", 0.0)
    monkeypatch.setattr(following, "_IDLE_S", 0.0)
    settings = Settings(home=tmp_path, index_rows=300, refuse_nonsense=False, trial_candidate=0.4)
    store = Store(settings.root)
    fill(store, range(5), title="v1")
    assert publish(store, CHOICES, settings).event == "promoted"
    fill(store, range(5), OTHER, title="v2")
    assert publish(store, OTHERS, settings, hold=True).event == "candidate"
    return settings


async def releases(service: SearchService) -> dict[str | None, str]:
    """Ask as everybody, and check that no answer is mixed; returns who got which release."""
    got: dict[str | None, str] = {}
    for user in [None, *USERS]:
        answer = await service.search(Query("1"), caller=Caller(user=user, region="eu"))
        assert {each["title"] for each in answer["results"]} == {TITLES[answer["release"]]}
        assert {each["item_id"] for each in answer["results"]} == {item_id(n) for n in range(5)}
        got[user] = answer["release"]
    return got


def test_a_share_of_the_users_gets_the_candidate_until_it_is_promoted_or_taken_back(
    settings: Settings,
) -> None:
    store = Store(settings.root)
    assert store.channel("visual", MODEL).name != store.channel("visual", OTHER).name

    async def work() -> None:
        held = settings.model_copy(update={"mirror_bytes": 1 << 20})
        service = SearchService(store, held, mirror=True)
        await service.start()
        await until(lambda: service.stats()["trial"] == "r000002")
        first = await releases(service)
        tries = {user for user, release in first.items() if release == "r000002"}
        assert 4 <= len(tries) <= 20 and None not in tries
        assert await releases(service) == first
        assert (await service.search(Query("2")))["release"] == "r000001"
        # Only what serves is held in memory.
        engines = {
            release: (await service.search(Query("3"), caller=Caller(user=user)))["engine"]
            for user, release in first.items()
        }
        assert engines == {"r000001": "mirror", "r000002": "tables"}
        again = SearchService(store, held)
        await again.start()
        await until(lambda: again.stats()["trial"] == "r000002")
        assert await releases(again) == first
        await again.close()
        started = time.perf_counter()
        promote(store, "r000002", settings)
        await service.search(Query("4"))
        assert set((await releases(service)).values()) == {"r000002"}
        await until(lambda: service.stats()["trial"] is None)
        rollback(store)
        assert set((await releases(service)).values()) == {"r000001"}
        print(f"\npromoted, asked, taken back and asked in {time.perf_counter() - started:.2f} s")
        await service.close()

    asyncio.run(work())


def test_a_trial_ends_when_its_candidate_is_superseded(settings: Settings) -> None:
    store = Store(settings.root)

    async def work() -> None:
        service = SearchService(store, settings)
        await service.start()
        await until(lambda: service.stats()["trial"] == "r000002")
        fill(store, range(5, 6), OTHER, title="v3")
        assert publish(store, OTHERS, settings, hold=True).manifest.release == "r000003"
        await service.view()
        await until(lambda: service.stats()["trial"] == "r000003")
        promote(store, "r000003", settings)
        await service.view()
        await until(lambda: service.stats()["trial"] is None)
        await service.close()

    asyncio.run(work())


def test_a_candidate_that_cannot_be_opened_or_asked_leaves_its_users_with_what_serves(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    store = Store(settings.root)
    whole = log.manifests(store)["r000002"]
    channel = whole.channels["visual"].model_copy(update={"version": 999})
    log.rewrite(store, [whole.model_copy(update={"channels": {"visual": channel}})], "broken")

    async def work() -> None:
        service = SearchService(store, settings)
        with caplog.at_level(logging.WARNING):
            await service.start()
            await until(lambda: bool(caplog.records))
            for _ in range(2):
                assert set((await releases(service)).values()) == {"r000001"}
            assert len(caplog.records) == 1 and "r000002" in caplog.text
        log.rewrite(store, [whole], "mended")
        await service.view()
        await until(lambda: service.stats()["trial"] == "r000002")
        assert len(set((await releases(service)).values())) == 2
        trial = service._following.trial.searcher
        assert trial is not None
        trial.tables.tables.clear()
        trial.tables.manifest = whole.model_copy(update={"channels": {"visual": channel}})
        caplog.clear()
        # A query without a cached answer finds out.
        for user in USERS:
            answer = await service.search(Query("4"), caller=Caller(user=user))
            assert answer["release"] == "r000001"
        assert [record.levelname for record in caplog.records] == ["WARNING"]
        await service.close()

    asyncio.run(work())


def test_a_trial_pauses_while_the_storage_is_away(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outages, "PROBE_S", 0.05)
    own = settings.model_copy(update={"home": tmp_path / "own", "replica": str(tmp_path / "copy")})
    for place in (own.root, own.replica):
        for part in ("delta", "lance"):
            shutil.copytree(settings.home / part, Path(place) / part)

    async def work() -> None:
        service = SearchService(Store(own.root), own)
        await service.start()
        await until(lambda: service.stats()["trial"] == "r000002")
        first = await releases(service)
        tries = [user for user, release in first.items() if release == "r000002"]
        (own.home / "lance").rename(own.home / "moved")
        service.cache.clear()
        for user in tries:
            answer = await service.search(Query("1"), caller=Caller(user=user))
            assert answer["release"] == "r000001" and answer["degraded"]
        assert service.stands_in == "replica"
        (own.home / "moved").rename(own.home / "lance")
        await until(lambda: service.stats()["trial"] == "r000002")
        assert await releases(service) == first
        await service.close()

    asyncio.run(work())


def test_the_api_tells_each_user_which_release_answered(settings: Settings) -> None:
    tokens = Tokens(settings.home / TOKENS)
    known = {user: tokens.add(Caller(user=user, region="eu")) for user in USERS[:12]}

    async def work() -> None:
        service = SearchService(Store(settings.root), settings)
        async with running(create_app(settings, service=service), "127.0.0.1") as client:
            await until(lambda: service.stats()["trial"] == "r000002")
            got = set()
            for token in known.values():
                headers = {"Authorization": f"Bearer {token}"}
                answer = await client.get("/search", params={"text": "1"}, headers=headers)
                got.add(answer.json()["release"])
            assert got == {"r000001", "r000002"}

    asyncio.run(work())
