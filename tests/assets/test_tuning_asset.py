"""Tuning as an asset: what a run shows, and what the terminal says of it."""

import base64
import io
from collections.abc import Callable, Iterator

import pytest
import toy
from homes import Home
from PIL import Image

from pipelines.errors import BadInput
from pipelines.releases.publish import publish
from pipelines.releases.tuned import read_choices
from pipelines.search.measuring import tuning

ROWS = 600


@pytest.fixture(scope="module")
def home(open_home: Callable[..., Home]) -> Iterator[Home]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tuning, "_PROBES", (5,))
        patch.setattr(tuning, "_REFINES", (2,))
        home = open_home()
        (home.path / "policy.toml").write_text('gates = ["identities"]\n')
        toy.fill(home.store, range(ROWS))
        publish(home.store, toy.CHOICES, home.settings)
        yield home


def test_a_run_shows_picture_and_tables_and_records_the_choice(home: Home) -> None:
    config = {"rows": ROWS, "seconds": 0.0, "queries": 20}
    result = home.run("index_tuning", config={"index_tuning": config}, strict=True)
    (event,) = result.get_asset_materialization_events()
    shown = event.materialization.metadata
    told = str(shown["pareto"].value)
    picture = told.split("base64,")[1].split(")")[0]
    with Image.open(io.BytesIO(base64.b64decode(picture))) as image:
        assert image.format == "PNG" and min(image.size) > 300
        assert len(image.getcolors() or []) > 4, "something is drawn"
    assert f"**visual**: {ROWS} of {ROWS} rows; 10 queries chose, 10 others" in told
    assert "5 indexes were left out" in told
    (chosen,) = [record.data for record in shown["chosen"].value.records]  # type: ignore[union-attr]
    points = [record.data for record in shown["sweep"].value.records]  # type: ignore[union-attr]
    assert {point["index"] for point in points} == {"exact", "ivf_rq"} and len(points) == 2
    choice = read_choices(home.store)["visual"]
    assert chosen["index"] == choice.index and chosen["channel"] == "visual"
    assert shown["recall_visual"].value == pytest.approx(choice.recall, abs=1e-4)
    assert shown["p99_ms_visual"].value == pytest.approx(choice.p99_ms, abs=1e-3)


def test_small_channels_are_left_alone_and_unknown_ones_refused(home: Home) -> None:
    result = home.run("index_tuning", strict=True)
    (event,) = result.get_asset_materialization_events()
    assert event.materialization.metadata["channels"].value == 0
    assert "No channel has 20000 rows" in str(event.materialization.metadata["pareto"].value)
    with pytest.raises(BadInput, match="has no channel smell; it has visual"):
        home.run("index_tuning", config={"index_tuning": {"channels": ["smell"]}}, strict=True)
