"""Learning as assets: what a run shows of clicks and of a trial, or why there is nothing."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import dagster as dg
import pytest
import toy
from homes import Home
from typer.testing import CliRunner

from cli import app
from pipelines.outcomes import now
from pipelines.releases.publish import publish


@pytest.fixture(scope="module")
def home(open_home: Callable[..., Home]) -> Iterator[Home]:
    with pytest.MonkeyPatch.context() as patch:
        toy.use(patch)
        home = open_home()
        (home.path / "policy.toml").write_text('gates = ["identities"]\n')
        toy.fill(home.store, range(3))
        publish(home.store, toy.CHOICES, home.settings)
        home.store.queries.append(
            [
                query(number, f"user-{number}", ("default", "hybrid")[number % 2])
                for number in range(8)
            ]
        )
        yield home


def query(number: int, user: str, profile: str) -> dict[str, Any]:
    return {
        "query_id": f"{number:032x}",
        "at": now(),
        "user": user,
        "request": json.dumps({"profile": profile, "like": None}),
        "results": json.dumps([{}]),
        "trace": json.dumps([{"at_ms": 0.0, "ms": 5.0}]),
    }


def metadata(result: dg.ExecuteInProcessResult) -> dict[str, Any]:
    (event,) = result.get_asset_materialization_events()
    return {name: each.value for name, each in event.materialization.metadata.items()}


def test_a_run_without_clicks_says_why_nothing_is_learned(home: Home) -> None:
    shown = metadata(home.run("fusion_weights", strict=True))
    assert shown["used"] is False and shown["judged"] == 0
    assert "What was used before stays" in shown["report"] and "too few" in shown["report"]


def test_a_trial_is_shown_with_its_numbers(home: Home) -> None:
    assert "trial_profile" in metadata(home.run("ab_report", strict=True))["report"]
    config = {"ab_report": {"profile": "hybrid"}}
    shown = metadata(home.run("ab_report", config=config, strict=True))
    assert (shown["users_trial"], shown["users_usual"]) == (4, 3)
    assert shown["trial_p50_ms"] == 5.0 and "are too few to tell" in shown["report"]
    assert "| without_click | 1.0000 | 1.0000 |" in shown["report"]


def test_the_terminal_tells_the_same(home: Home) -> None:
    where = ["--home", str(home.path)]
    told = json.loads(CliRunner().invoke(app, ["trial", "hybrid", "--json", *where]).stdout)
    assert told["users"] == [3, 4] and "too few" in told["reason"]
    assert "without_click" in CliRunner().invoke(app, ["trial", "hybrid", *where]).stdout
    learned = json.loads(
        CliRunner().invoke(app, ["learn", "--from-clicks", "--json", *where]).stdout
    )
    assert learned["used"] is False and learned["clicks"]["judged"] == 0
    refused = CliRunner().invoke(app, ["learn", *where])
    assert "--from-clicks" in str(refused.exception)
