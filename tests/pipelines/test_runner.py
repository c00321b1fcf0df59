import datetime as dt
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pytest
from waiting import wait_until

from pipelines import outcomes
from pipelines.errors import BadInput, MediadexError, ResidualFinding
from pipelines.reading.media import NotMedia
from pipelines.settings import Settings
from pipelines.steps.runner import EXISTING, WANTED, Input, Report, plan, run
from pipelines.store import Store


@dataclass
class FakeStep:
    """Keeps its rows in memory: key to batch, recipe and attributes. `events` says what it did."""

    store: Store
    inputs: dict[str, Input] = field(default_factory=dict)
    rows: dict[str, tuple[str, str, str]] = field(default_factory=dict)
    errors: dict[str, Exception] = field(default_factory=dict)
    events: list[tuple[str, list[str]]] = field(default_factory=list)
    name: str = "fake"
    version: str = "v1"
    model: str = ""
    bounds: str = ""
    loads_ahead: bool = False
    together: int | None = None
    accelerated: bool = False

    def want(self, *keys: str, recipe: str = "r1", batch: str = "b1", attributes: str = "") -> None:
        for key in keys:
            self.inputs[key] = Input(key, f"item-{key}", batch, recipe, None, attributes)

    def state(self) -> list[str]:
        return sorted(self.rows)

    def wanted(self, batches: Collection[str] | None) -> pa.Table:
        rows = [vars(work) for work in self.inputs.values() if _within(work.batch, batches)]
        return pa.Table.from_pylist(rows, WANTED)

    def existing(self, batches: Collection[str] | None) -> pa.Table:
        rows = [
            dict(zip(EXISTING.names, (key, *row), strict=True))
            for key, row in self.rows.items()
            if _within(row[0], batches)
        ]
        return pa.Table.from_pylist(rows, EXISTING)

    def fetch(self, batch: str, rows: Mapping[str, str]) -> dict[str, Any]:
        return {key: None for key in self.inputs if key in rows}

    def load(self, work: Input) -> str:
        self._did("load", [work])
        if work.key in self.errors:
            raise self.errors[work.key]
        return f"loaded {work.key}"

    def compute(self, group: Sequence[Input], loaded: Sequence[str]) -> Sequence[str]:
        assert list(loaded) == [f"loaded {work.key}" for work in group]
        self._did("compute", group)
        for work in group:
            if f"compute {work.key}" in self.errors:
                raise self.errors[f"compute {work.key}"]
        return loaded

    def commit(self, group: Sequence[Input], results: Sequence[str]) -> None:
        if "commit" in self.errors and len(self.did("commit")) == 1:
            raise self.errors["commit"]
        self._did("commit", group)
        for work in group:
            self.rows[work.key] = (work.batch, work.recipe, work.attributes_hash)

    def refresh(self, unchanged: Sequence[Input]) -> None:
        self._did("refresh", unchanged)
        for work in unchanged:
            self.rows[work.key] = (work.batch, work.recipe, work.attributes_hash)

    def remove(self, keys: Sequence[str]) -> None:
        self.events.append(("remove", sorted(keys)))
        for key in keys:
            self.rows.pop(key, None)

    def _did(self, what: str, group: Sequence[Input]) -> None:
        self.events.append((what, [work.key for work in group]))

    def did(self, what: str) -> list[list[str]]:
        return [keys for event, keys in self.events if event == what]

    def outcomes(self) -> dict[str, dict[str, Any]]:
        return {row["key"]: row for row in self.store.outcomes.rows()}


def _within(batch: str, batches: Collection[str] | None) -> bool:
    return batches is None or batch in batches


@pytest.fixture
def step(home: Any) -> FakeStep:
    return FakeStep(home.store)


def go(step: FakeStep, batch: str = "b1", **changed: Any) -> Report:
    step.events.clear()
    set_ = {"group_items": 2, "workers": 1, "retry_delay_s": 0, **changed}
    return run(step, batch, Settings(**set_))


# --- What is to be done --------------------------------------------------------------------------


def test_all_rows_are_made_once(step: FakeStep) -> None:
    step.want("a", "b", "c")
    assert (go(step).encoded, sorted(step.rows)) == (3, ["a", "b", "c"])
    assert step.did("commit") == [["a", "b"], ["c"]]
    assert step.outcomes() == {}
    report = go(step)
    assert (report.encoded, report.rows, step.events) == (0, 3, [])
    assert step.outcomes() == {}


def test_only_rows_of_another_recipe_are_made_again(step: FakeStep) -> None:
    step.want("a", "b", "c")
    go(step)
    step.want("b", recipe="r2")
    assert go(step).encoded == 1
    assert step.did("commit") == [["b"]]


def test_rows_that_should_not_be_are_removed(step: FakeStep) -> None:
    step.want("a", "b")
    go(step)
    del step.inputs["a"]
    report = go(step)
    assert (report.removed, step.events) == (1, [("remove", ["a"])])


def test_only_attributes_are_copied_where_only_they_changed(step: FakeStep) -> None:
    step.want("a", "b", "c", attributes="old")
    go(step)
    step.want("a", attributes="new")
    step.want("b", attributes="new", recipe="r2")
    report = go(step)
    assert (report.encoded, report.refreshed) == (1, 1)
    assert step.events == [
        ("refresh", ["a"]),
        ("load", ["b"]),
        ("compute", ["b"]),
        ("commit", ["b"]),
    ]
    assert go(step).refreshed == 0


def test_a_batch_is_left_alone_by_the_run_of_another(step: FakeStep) -> None:
    step.want("a", batch="b1")
    step.want("z", batch="b2")
    go(step, "b1")
    go(step, "b2")
    del step.inputs["z"]
    step.want("a", recipe="r2")
    step.errors["a"] = BadInput("broken")
    go(step, "b1")
    assert list(step.rows) == ["a", "z"]
    assert {key: row["status"] for key, row in step.outcomes().items()} == {"a": "quarantined"}


def test_a_plan_names_the_batches_that_have_work(step: FakeStep) -> None:
    step.want("done", batch="b1")
    go(step, "b1")
    step.want("new", batch="b2")
    step.rows["stale"] = ("b3", "r1", "")
    work = plan(step)
    assert work.batches == {"b2", "b3"}
    assert work.todo["key"].to_pylist() == ["new"]


# --- What goes wrong -----------------------------------------------------------------------------


def test_a_failed_row_is_tried_again_and_its_attempts_counted(step: FakeStep) -> None:
    step.want("a", "b")
    step.errors["a"] = MediadexError("not now")
    for attempt in (1, 2, 3):
        [failure] = go(step).failures
        assert (failure["status"], failure["reason"]) == ("failed", "not now")
        assert step.outcomes()["a"]["attempts"] == attempt
    step.want("a", recipe="r2")
    go(step)
    assert step.outcomes()["a"]["attempts"] == 1
    step.errors.clear()
    assert go(step).encoded == 1
    assert step.outcomes() == {}


def test_the_next_try_is_twice_as_far_away_and_the_last_has_none(
    step: FakeStep, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    monkeypatch.setattr(outcomes, "now", lambda: clock)
    step.want("a")
    step.errors["a"] = MediadexError("not now")
    for minutes in (1, 2, None):
        assert go(step, retry_delay_s=60, retry_budget=3).failures
        due = step.outcomes()["a"]["next_try"]
        assert due == (clock + dt.timedelta(minutes=minutes) if minutes else None)
        assert go(step, retry_delay_s=60, retry_budget=3).waiting == 1
        assert step.events == []
        assert plan(step).next_try == due
        clock = due or clock + dt.timedelta(days=9)
    assert go(step, retry_delay_s=60, retry_budget=3).failures == []
    step.errors.clear()
    settings = Settings(workers=1)
    assert run(step, "b1", settings).encoded == 0
    assert run(step, "b1", settings, redo=True).encoded == 1
    assert step.outcomes() == {}


def test_what_cannot_pass_later_is_not_redone(step: FakeStep) -> None:
    step.want("a")
    step.errors["a"] = BadInput("bad")
    go(step)
    assert step.outcomes()["a"]["next_try"] is None
    step.events.clear()
    report = run(step, "b1", Settings(workers=1), redo=True)
    assert (report.refused, step.events) == (1, [])


def test_other_limits_are_another_chance_for_what_was_refused_only(step: FakeStep) -> None:
    step.want("a", "b")
    step.errors["a"] = BadInput("too large")
    go(step)
    step.bounds = "larger"
    step.errors.clear()
    assert go(step).encoded == 1
    assert step.did("load") == [["a"]]


def test_an_outcome_whose_input_is_gone_is_superseded_once(step: FakeStep) -> None:
    step.want("a", "b")
    step.errors["a"] = BadInput("bad")
    go(step)
    del step.inputs["a"]
    assert plan(step).batches == {"b1"}
    go(step)
    assert step.outcomes()["a"]["status"] == "superseded"
    version = step.store.outcomes.version
    go(step)
    assert step.store.outcomes.version == version
    assert plan(step).batches == set()
    step.want("a")
    step.errors.clear()
    assert go(step).encoded == 1
    assert step.outcomes() == {}


def test_one_row_that_breaks_the_model_does_not_take_others_with_it(step: FakeStep) -> None:
    step.want(*"abcd")
    step.errors["compute b"] = RuntimeError("shape")
    report = go(step, group_items=4)
    assert (report.encoded, sorted(step.rows)) == (3, ["a", "c", "d"])
    assert step.outcomes()["b"]["status"] == "failed"
    assert step.did("compute") == [[*"abcd"], ["a"], ["b"], ["c"], ["d"]]


def test_a_model_that_fails_for_every_row_fails_the_run(step: FakeStep) -> None:
    step.want("a", "b")
    step.errors |= {f"compute {key}": RuntimeError("no memory") for key in "ab"}
    with pytest.raises(RuntimeError, match="no memory"):
        go(step)
    assert step.outcomes() == {}


@pytest.mark.parametrize(
    ("error", "status"), [(BadInput("bad"), "quarantined"), (NotMedia("other"), "skipped")]
)
def test_a_refused_row_waits_for_another_recipe(
    step: FakeStep, error: Exception, status: str
) -> None:
    step.want("a", "b")
    step.errors["a"] = error
    report = go(step)
    assert (report.encoded, report.failures[0]["status"]) == (1, status)
    assert step.outcomes()["a"]["reason"] == str(error)
    again = go(step)
    assert (again.failures, step.events) == ([], [])
    assert step.outcomes()["a"]["status"] == status
    step.want("a", recipe="r2")
    step.errors.clear()
    assert go(step).encoded == 1
    assert step.outcomes() == {}


def test_private_data_left_over_removes_what_the_row_had(step: FakeStep) -> None:
    step.want("a", "b")
    go(step)
    step.want("a", "b", recipe="r2")
    step.errors["a"] = ResidualFinding("still found: PERSON")
    report = go(step)
    assert [row["key"] for row in report.residual] == ["a"]
    assert step.rows == {"b": ("b1", "r2", "")}
    assert step.outcomes()["a"]["status"] == "quarantined"


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ValueError("jane@example.com"), "unexpected ValueError at "),
        (OSError(28, "jane@example.com"), "No space left on device"),
        (FileNotFoundError("jane@example.com"), "unexpected FileNotFoundError"),
    ],
)
def test_what_unknown_errors_say_is_not_stored(
    step: FakeStep, error: Exception, reason: str
) -> None:
    step.want("a")
    step.errors["a"] = error
    go(step)
    row = step.outcomes()["a"]
    assert row["status"] == "failed" and row["reason"].startswith(reason)
    assert row["error"] == type(error).__name__
    assert "jane" not in str(row)


def test_a_killed_run_loses_only_the_group_in_flight(step: FakeStep) -> None:
    step.want(*"abcdef")
    step.errors["commit"] = OSError(28, "No space left on device")
    with pytest.raises(OSError, match="No space"):
        go(step)
    assert sorted(step.rows) == ["a", "b"]
    step.errors.clear()
    assert go(step).encoded == 4
    assert step.did("load") == [["c"], ["d"], ["e"], ["f"]]
    assert step.outcomes() == {}


def test_failures_of_committed_groups_outlive_a_kill(step: FakeStep) -> None:
    step.want(*"abcd")
    step.errors = {"a": BadInput("bad"), "commit": OSError(28, "full")}
    with pytest.raises(OSError):
        go(step)
    assert step.outcomes()["a"]["status"] == "quarantined"
    step.errors.clear()
    go(step)
    assert step.did("load") == [["c"], ["d"]]


# --- Groups --------------------------------------------------------------------------------------


@pytest.mark.parametrize("loads_ahead", [True, False])
def test_the_next_group_is_loaded_ahead_only_where_that_is_cheap(
    step: FakeStep, loads_ahead: bool
) -> None:
    step.want(*"abcd")
    step.loads_ahead = loads_ahead
    seen: list[int] = []
    compute = step.compute

    def noting(group: Sequence[Input], loaded: Sequence[str]) -> Sequence[str]:
        if loads_ahead and group[0].key == "a":
            wait_until(lambda: len(step.did("load")) == 4)
        seen.append(len(step.did("load")))
        return compute(group, loaded)

    step.compute = noting  # type: ignore[method-assign]
    go(step)
    assert seen == ([4, 4] if loads_ahead else [2, 4])


def test_progress_counts_what_is_done_of_all(step: FakeStep) -> None:
    step.want(*"abc")
    step.errors["b"] = BadInput("bad")
    calls: list[tuple[int, int]] = []
    run(step, "b1", Settings(group_items=2), lambda done, total: calls.append((done, total)))
    assert calls == [(2, 3), (3, 3)]


def test_a_group_of_failures_only_commits_nothing(step: FakeStep) -> None:
    step.want("a", "b")
    step.errors = {"a": BadInput("bad"), "b": MediadexError("later")}
    assert go(step).encoded == 0
    assert step.did("compute") == step.did("commit") == []
