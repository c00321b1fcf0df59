"""The sensor that watches sources: it asks when a listing changed, and not twice."""

from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from pipelines.catalog.sources import Source
from pipelines.catalog.uploads import folder_of
from resources.home import HomeResource
from sensors.watching import index_sources, watch_sources


class Watch:
    """Ticks of the sensor, with one cursor."""

    def __init__(self, home: HomeResource):
        self.home = home
        self.instance = dg.DagsterInstance.ephemeral()
        self.cursor: str | None = None

    def asked(self) -> list[str] | None:
        """Return the sources of the run that a tick asks for."""
        with dg.build_sensor_context(
            self.instance, cursor=self.cursor, resources={"home": self.home}
        ) as context:
            told: Any = watch_sources(context)
            self.cursor = context.cursor
        if isinstance(told, dg.SkipReason):
            return None
        return told.run_config["ops"]["index_changed"]["config"]["sources"]


@pytest.fixture
def watch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Watch:
    return Watch(HomeResource(home=str(tmp_path / "home")))


def test_it_asks_for_what_changed_and_only_once(watch: Watch) -> None:
    assert watch.asked() is None
    folder = folder_of(watch.home.settings())
    folder.mkdir(parents=True)
    url = Source(str(folder)).url
    assert watch.asked() == [url] and watch.asked() is None
    file = folder / "a.txt"
    file.write_text("One.")
    assert watch.asked() == [url] and watch.asked() is None
    (folder / ".hidden").write_text("not listed")
    assert watch.asked() is None
    (folder / "metadata.jsonl").write_text('{"file_name": "a.txt", "title": "A"}')
    assert watch.asked() == [url]
    file.unlink()
    assert watch.asked() == [url]


def test_it_waits_for_the_run_before(watch: Watch) -> None:
    folder_of(watch.home.settings()).mkdir(parents=True)
    run = watch.instance.create_run_for_job(
        index_sources, run_config={"ops": {"index_changed": {"config": {"sources": []}}}}
    )
    assert watch.asked() is None and watch.cursor is None
    watch.instance.report_run_canceled(run)
    assert watch.asked() is not None
