from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from pipelines.errors import BadInput, MediadexError, ResidualFinding
from pipelines.reading.media import NotMedia
from pipelines.settings import Settings
from pipelines.steps.runner import Existing, Input, Report, plan, run
from pipelines.store import Store


@dataclass
class FakeStep:
    """Keeps its rows in memory: key to batch, recipe and attributes. `events` says what it did."""

    store: Store
    wanted: dict[str, Input] = field(default_factory=dict)
    rows: dict[str, tuple[str, Existing]] = field(default_factory=dict)
    errors: dict[str, Exception] = field(default_factory=dict)
    events: list[tuple[str, list[str]]] = field(default_factory=list)
    name: str = "fake"
    loads_ahead: bool = False

    def want(self, *keys: str, recipe: str = "r1", batch: str = "b1", attributes: str = "") -> None:
        for key in keys:
            self.wanted[key] = Input(key, f"item-{key}", batch, recipe, None, attributes)

    def inputs(self, batch: str | None) -> list[Input]:
        return [work for work in self.wanted.values() if batch in (None, work.batch)]

    def existing(self, batch: str | None) -> dict[str, tuple[str, Existing]]:
        return {key: row for key, row in self.rows.items() if batch in (None, row[0])}

    def load(self, work: Input) -> str:
        self._did("load", [work])
        if work.key in self.errors:
            raise self.errors[work.key]
        return f"loaded {work.key}"

    def compute(self, group: Sequence[Input], loaded: Sequence[str]) -> Sequence[str]:
        assert list(loaded) == [f"loaded {work.key}" for work in group]
        self._did("compute", group)
        return loaded

    def commit(self, group: Sequence[Input], results: Sequence[str]) -> None:
        if "commit" in self.errors and len(self.did("commit")) == 1:
            raise self.errors["commit"]
        self._did("commit", group)
        for work in group:
            self.rows[work.key] = (work.batch, Existing(work.recipe, work.attributes_hash))

    def refresh(self, unchanged: Sequence[Input]) -> None:
        self._did("refresh", unchanged)
        for work in unchanged:
            self.rows[work.key] = (work.batch, Existing(work.recipe, work.attributes_hash))

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


@pytest.fixture
def step(home: Any) -> FakeStep:
    return FakeStep(home.store)


def go(step: FakeStep, batch: str = "b1", **changed: Any) -> Report:
    step.events.clear()
    return run(step, batch, Settings(**{"group_items": 2, "workers": 1, **changed}))


# --- What is to be done --------------------------------------------------------------------------


def test_all_rows_are_made_once(step: FakeStep) -> None:
    step.want("a", "b", "c")
    assert (go(step).encoded, sorted(step.rows)) == (3, ["a", "b", "c"])
    assert step.did("commit") == [["a", "b"], ["c"]]
    assert {row["status"] for row in step.outcomes().values()} == {"ok"}
    version = step.store.outcomes.version
    report = go(step)
    assert (report.encoded, report.rows, step.events) == (0, 3, [])
    assert step.store.outcomes.version == version


def test_only_rows_of_another_recipe_are_made_again(step: FakeStep) -> None:
    step.want("a", "b", "c")
    go(step)
    step.want("b", recipe="r2")
    assert go(step).encoded == 1
    assert step.did("commit") == [["b"]]
    assert step.outcomes()["b"]["recipe"] == "r2"


def test_rows_that_should_not_be_are_removed_with_their_outcomes(step: FakeStep) -> None:
    step.want("a", "b")
    go(step)
    del step.wanted["a"]
    report = go(step)
    assert (report.removed, step.events) == (1, [("remove", ["a"])])
    assert list(step.outcomes()) == ["b"]


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
    del step.wanted["z"]
    step.want("a", recipe="r2")
    step.errors["a"] = BadInput("broken")
    go(step, "b1")
    assert list(step.rows) == ["a", "z"]
    assert {key: row["status"] for key, row in step.outcomes().items()} == {
        "a": "quarantined",
        "z": "ok",
    }


def test_a_plan_names_the_batches_that_have_work(step: FakeStep) -> None:
    step.want("done", batch="b1")
    go(step, "b1")
    step.want("new", batch="b2")
    step.rows["stale"] = ("b3", Existing("r1"))
    work = plan(step)
    assert work.batches == {"b2", "b3"}
    assert [entry.key for entry in work.todo] == ["new"]


# --- What goes wrong -----------------------------------------------------------------------------


def test_a_failed_row_is_tried_again_and_its_attempts_counted(step: FakeStep) -> None:
    step.want("a", "b")
    step.errors["a"] = MediadexError("not now")
    for attempt in (1, 2, 3):
        [failure] = go(step).failures
        assert (failure["status"], failure["reason"]) == ("failed", "not now")
        assert step.outcomes()["a"]["attempts"] == attempt
        assert step.outcomes()["b"]["status"] == "ok"
    step.want("a", recipe="r2")
    go(step)
    assert step.outcomes()["a"]["attempts"] == 1
    step.errors.clear()
    assert go(step).encoded == 1
    assert step.outcomes()["a"]["status"] == "ok"
    assert step.outcomes()["a"]["reason"] is None


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
    assert step.outcomes()["a"]["status"] == "ok"


def test_private_data_left_over_removes_what_the_row_had(step: FakeStep) -> None:
    step.want("a", "b")
    go(step)
    step.want("a", "b", recipe="r2")
    step.errors["a"] = ResidualFinding("still found: PERSON")
    report = go(step)
    assert [row["key"] for row in report.residual] == ["a"]
    assert list(step.rows) == ["b"] and step.rows["b"][1].recipe == "r2"
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
    assert {row["status"] for row in step.outcomes().values()} == {"ok"}


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


def wait_until(true: Any) -> None:
    import time

    end = time.monotonic() + 5
    while not true() and time.monotonic() < end:
        time.sleep(0.005)


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
