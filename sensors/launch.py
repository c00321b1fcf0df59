"""Starting runs from the terminal: the same assets, in the Dagster instance that the UI shows."""

import itertools
import logging
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import dagster as dg

from pipelines.catalog.sources import Source
from pipelines.channels import CHANNELS
from pipelines.errors import MediadexError
from pipelines.models.suite import ModelSuite
from pipelines.pipeline import STEPS, build_step, pending_batches
from pipelines.progress import LOGGER
from pipelines.releases import is_current, latest
from pipelines.settings import Settings
from pipelines.status import item_outcomes
from pipelines.steps.runner import RESIDUAL
from pipelines.store import Store

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
    max_concurrent_runs: 1
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
        with dg.DagsterInstance.get() as instance:
            items = self._run(instance, ["items"], config={"items": {"sources": [url]}})["items"]
            steps = [build_step(name, self._store, self._models, self._settings) for name in STEPS]
            encoded = dict.fromkeys(CHANNELS, 0)
            batches = pending_batches(steps)
            for first, last in _ranges(instance, batches):
                metadata = self._derive(instance, STEPS, {_START: first, _END: last})
                for name in CHANNELS:
                    encoded[name] += metadata[f"{name}_embeddings"]["encoded"]
            if not is_current(self._store, self._models.encoders()):
                self._run(instance, ["release"])
        manifest = latest(self._store)
        return {
            "release": manifest.release if manifest else None,
            "items": {name: items[name] for name in ("new", "changed", "deleted", "unchanged")},
            "encoded": encoded,
            "outcomes": item_outcomes(self._store),
            "seconds": round(time.monotonic() - started, 3),
        }

    def _derive(
        self, instance: dg.DagsterInstance, assets: Sequence[str], tags: Mapping[str, str]
    ) -> dict[str, dict[str, Any]]:
        """Derive a range of batches; items that leak fail the run, and the next goes without."""
        try:
            return self._run(instance, assets, tags=tags)
        except LeakFound:
            return self._run(instance, assets, tags=tags)

    def _run(
        self,
        instance: dg.DagsterInstance,
        assets: Sequence[str],
        *,
        tags: Mapping[str, str] | None = None,
        config: Mapping[str, Any] | None = None,
    ) -> dict[str, dict[str, Any]]:
        """Materialize assets in one run; returns each one's numbers, summed over its partitions."""
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
        numbers: dict[str, dict[str, Any]] = {name: {} for name in assets}
        for event in result.get_asset_materialization_events():
            name = event.asset_key.to_user_string() if event.asset_key else ""
            for key, value in event.materialization.metadata.items():
                if name in numbers and isinstance(value.value, int | float):
                    numbers[name][key] = numbers[name].get(key, 0) + value.value
        return numbers


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


def _ranges(instance: dg.DagsterInstance, batches: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Group batches into contiguous ranges of the partitions that the instance knows."""
    order = {key: place for place, key in enumerate(instance.get_dynamic_partitions("batches"))}
    places = sorted(order[batch] for batch in batches)
    keys = list(order)
    for _, run in itertools.groupby(enumerate(places), key=lambda pair: pair[1] - pair[0]):
        group = [place for _, place in run]
        yield keys[group[0]], keys[group[-1]]
