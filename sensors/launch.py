"""Starting runs from the terminal: the same assets, in the Dagster instance that the UI shows."""

import itertools
import logging
import os
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import dagster as dg

from pipelines import outcomes
from pipelines.catalog.sources import Source
from pipelines.channels import CHANNELS
from pipelines.errors import MediadexError
from pipelines.models.suite import ModelSuite
from pipelines.pipeline import STEPS, build_step, in_order, pending_batches
from pipelines.planning import Scope
from pipelines.progress import LOGGER
from pipelines.releases.log import serving, waiting
from pipelines.releases.publish import is_current
from pipelines.settings import Settings
from pipelines.status import item_outcomes
from pipelines.steps.embed import EmbedStep
from pipelines.steps.ingest import STEP as INGEST
from pipelines.steps.runner import RESIDUAL, plan
from pipelines.store import Store

BATCHES = "batches"
_START, _END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"
_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
_INSTANCE = """\
telemetry:
  enabled: false
nux:
  enabled: false
python_logs:
  managed_python_loggers: [mediadex]
concurrency:
  runs:
    max_concurrent_runs: 2
retention:
  schedule:
    purge_after_days: 30
  sensor:
    purge_after_days: {skipped: 3, started: 30, success: 30, failure: 30}
"""


class RunFailed(MediadexError):
    """A Dagster run failed; the last release goes on serving."""


class LeakFound(RunFailed):
    """A run failed only because items still showed private data; they are quarantined now."""


def prepare_home(settings: Settings) -> None:
    """Make the home with its Dagster instance, and point this process and its children to both."""
    home = settings.home.resolve()
    instance = home / "dagster"
    instance.mkdir(parents=True, exist_ok=True)
    if not (instance / "dagster.yaml").exists():
        (instance / "dagster.yaml").write_text(_INSTANCE)
    os.environ["MEDIADEX_HOME"] = str(home)
    os.environ["DAGSTER_HOME"] = str(instance)


class Launcher:
    """Runs assets of the given definitions in this process, on the home's Dagster instance."""

    def __init__(self, defs: dg.Definitions, settings: Settings):
        self._job = defs.resolve_implicit_global_asset_job_def()
        self._settings = settings
        self._store = Store(settings.root)
        self._models = ModelSuite.chosen_by(settings)

    def index(self, source: str) -> dict[str, Any]:
        """Scan a source, bring every batch up to date and publish.

        Returns what the contract of `index --json` promises. Raises FileNotFoundError for a source
        that does not exist and RunFailed when a run fails.
        """
        started = time.monotonic()
        url = Source(source).require().url
        steps = [build_step(name, self._store, self._models, self._settings) for name in STEPS]
        # Asked before the scan, when the answer is mostly known without looking at rows.
        batches = set(pending_batches(steps, self._store))
        encoded = dict.fromkeys(CHANNELS, 0)
        with dg.DagsterInstance.get() as instance:
            result = self._execute(instance, ["items"], config={"items": {"sources": [url]}})
            items = _numbers(result, ["items"])["items"]
            batches |= _changed_batches(result)
            for tags in self._spans(instance, batches):
                _add(encoded, self._derive(instance, STEPS, tags))
            self._publish(instance)
        return {
            "release": self._released(),
            "items": {name: items[name] for name in ("new", "changed", "deleted", "unchanged")},
            "encoded": encoded,
            "outcomes": item_outcomes(self._store),
            "seconds": round(time.monotonic() - started, 3),
        }

    def redo(self) -> dict[str, Any]:
        """Try at once what failed, whether it is due, waits or was given up; then publish.

        Files that could not be registered are looked at in every source that has items.
        """
        unread = outcomes.make_due(self._store.outcomes, INGEST)
        where = "status = 'failed' AND batch IS NOT NULL"
        failed = set(self._store.outcomes.read(["batch"], where)["batch"].to_pylist())
        with dg.DagsterInstance.get() as instance:
            encoded = dict.fromkeys(CHANNELS, 0)
            if unread:
                failed |= _changed_batches(self._execute(instance, ["items"]))
            config = {name: {"redo": True} for name in STEPS}
            for tags in self._spans(instance, failed):
                _add(encoded, self._derive(instance, STEPS, tags, config))
            self._publish(instance)
        return {
            "release": self._released(),
            "encoded": encoded,
            "outcomes": item_outcomes(self._store),
        }

    def backfill(self, what: Scope) -> dict[str, Any]:
        """Do the work of a scope and nothing else.

        With encoders other than those set, their tables are built beside the present ones. Once
        they lack nothing (`remaining` is 0), a `candidate` that names them is made; it waits for
        its promotion.
        """
        specs = {EmbedStep.name_of(CHANNELS[name]): spec for name, spec in what.encoders.items()}
        config = {name: {"encoder": spec} for name, spec in specs.items()}
        models = self._models.with_encoders(what.encoders)
        steps = [build_step(name, self._store, models, self._settings) for name in what.steps]
        batches = set().union(*(plan(step, what.batches).batches for step in steps))
        with dg.DagsterInstance.get() as instance:
            for tags in self._spans(instance, batches):
                self._derive(instance, what.steps, tags, config)
            remaining = sum(len(plan(step).todo) for step in steps)
            if what.encoders and not remaining:
                release = {"hold": True, "encoders": what.encoders}
                self._run(instance, ["release"], config={"release": release})
        waits = what.encoders and not remaining
        return {"remaining": remaining, "candidate": waiting(self._store) if waits else None}

    def tune(self, config: Mapping[str, Any]) -> None:
        """Measure vector indexes and record what is chosen; `config` is that of the asset."""
        with dg.DagsterInstance.get() as instance:
            self._run(instance, ["index_tuning"], config={"index_tuning": config})

    def _publish(self, instance: dg.DagsterInstance) -> None:
        if not is_current(self._store, self._models.encoders()):
            self._run(instance, ["release"])

    def _released(self) -> str | None:
        manifest = serving(self._store)
        return manifest.release if manifest else None

    @staticmethod
    def _spans(instance: dg.DagsterInstance, batches: Collection[str]) -> Iterator[dict[str, str]]:
        """Return run tags for contiguous ranges of the partitions that the instance knows."""
        if missing := sorted(set(batches) - set(instance.get_dynamic_partitions(BATCHES))):
            instance.add_dynamic_partitions(BATCHES, in_order(missing))
        order = {key: place for place, key in enumerate(instance.get_dynamic_partitions(BATCHES))}
        keys = list(order)
        places = sorted(order[batch] for batch in batches)
        for _, run in itertools.groupby(enumerate(places), key=lambda pair: pair[1] - pair[0]):
            group = [place for _, place in run]
            yield {_START: keys[group[0]], _END: keys[group[-1]]}

    def _derive(
        self,
        instance: dg.DagsterInstance,
        assets: Sequence[str],
        tags: Mapping[str, str],
        config: Mapping[str, Any] | None = None,
    ) -> dict[str, dict[str, Any]]:
        """Derive a range of batches; items that leak fail the run, and the next goes without."""
        try:
            return self._run(instance, assets, tags=tags, config=config)
        except LeakFound:
            return self._run(instance, assets, tags=tags, config=config)

    def _run(
        self,
        instance: dg.DagsterInstance,
        assets: Sequence[str],
        *,
        tags: Mapping[str, str] | None = None,
        config: Mapping[str, Any] | None = None,
    ) -> dict[str, dict[str, Any]]:
        """Materialize assets in one run; returns each one's numbers, summed over its partitions."""
        return _numbers(self._execute(instance, assets, tags=tags, config=config), assets)

    def _execute(
        self,
        instance: dg.DagsterInstance,
        assets: Sequence[str],
        *,
        tags: Mapping[str, str] | None = None,
        config: Mapping[str, Any] | None = None,
    ) -> dg.ExecuteInProcessResult:
        """Materialize assets in one run; raises RunFailed and tells of checks that do not hold."""
        run_config = dict(_QUIET)
        if config:
            run_config["ops"] = {name: {"config": value} for name, value in config.items()}
        result = self._job.execute_in_process(
            run_config=run_config,
            instance=instance,
            asset_selection=[dg.AssetKey(name) for name in assets],
            tags=dict(tags or {}),
            raise_on_error=False,
        )
        if not result.success:
            raise _failure(result)
        for check in result.get_asset_check_evaluations():
            if not check.passed:
                subject = f"{check.asset_key.to_user_string()}, check {check.check_name}"
                logging.getLogger(LOGGER).warning("%s: %s", subject, check.description)
        return result


def _numbers(result: dg.ExecuteInProcessResult, assets: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return the numbers that a run told of each asset, summed over its partitions."""
    numbers: dict[str, dict[str, Any]] = {name: {} for name in assets}
    for event in result.get_asset_materialization_events():
        name = event.asset_key.to_user_string() if event.asset_key else ""
        for key, value in event.materialization.metadata.items():
            if name in numbers and isinstance(value.value, int | float):
                numbers[name][key] = numbers[name].get(key, 0) + value.value
    return numbers


def _changed_batches(result: dg.ExecuteInProcessResult) -> set[str]:
    """Return the batches in which a scan found anything new."""
    events = result.get_asset_materialization_events()
    return {event.partition for event in events if event.partition is not None}


def _failure(result: Any) -> RunFailed:
    messages = []
    leaks = []
    for event in result.all_events:
        if event.is_step_failure:
            data = event.step_failure_data
            told = data.user_failure_data
            cause = data.error and (data.error.cause or data.error)
            detail = told.description if told else cause.message.strip() if cause else "unknown"
            messages.append(f"{event.step_key}: {detail}")
            leaks.append(bool(told and RESIDUAL in told.metadata))
    kind = LeakFound if leaks and all(leaks) else RunFailed
    return kind("; ".join(messages) or "the run failed before any step")


def _add(encoded: dict[str, int], numbers: Mapping[str, Mapping[str, Any]]) -> None:
    for name, channel in CHANNELS.items():
        encoded[name] += numbers[EmbedStep.name_of(channel)].get("encoded", 0)
