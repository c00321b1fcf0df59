"""A storage that goes away where no copy stands in: that is told, and not that items are none."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import toy
from fastapi.testclient import TestClient

from pipelines.outcomes import now
from pipelines.releases.publish import publish
from pipelines.search import catalog
from pipelines.settings import Settings
from pipelines.store import Store
from serving.app import create_app

ITEM = toy.item_id(1)


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    toy.use(monkeypatch)
    settings = Settings(home=tmp_path, refuse_nonsense=False, mirror_bytes=0)
    store = Store(settings.root)
    toy.fill(store, range(4))
    dated = [row | {"registered_at": now()} for row in store.items.rows()]
    store.items.replace("true", dated)
    assert publish(store, toy.CHOICES, settings).event == "promoted"
    with TestClient(create_app(settings), raise_server_exceptions=False) as client:
        yield client


@pytest.mark.parametrize(
    ("folder", "paths"),
    [
        ("lance", [f"/v1/similar/{ITEM}", "/v1/search?text=1"]),
        ("delta/items", [f"/v1/items/{ITEM}", f"/v1/similar/{ITEM}", f"/v1/media/{ITEM}/x"]),
    ],
)
def test_what_is_gone_is_told_as_away(
    client: TestClient, tmp_path: Path, folder: str, paths: list[str]
) -> None:
    assert client.get(f"/v1/items/{ITEM}").status_code == 200
    away = (tmp_path / folder).rename(tmp_path / "elsewhere")
    for path in paths:
        answer = client.get(path)
        assert answer.status_code == 503 and "bring it back" in answer.json()["detail"], path
        assert answer.headers["retry-after"] == "1"
    away.rename(tmp_path / folder)
    assert {client.get(path).status_code for path in paths} <= {200, 404}


def test_an_error_with_all_tables_there_stays_one(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(catalog, "is_shown", broken)
    assert client.get(f"/v1/similar/{ITEM}").status_code == 500
