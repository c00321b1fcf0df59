"""Files that are found soon after they were dropped: a look at every source, off by default."""

import json
import subprocess
import sys
from pathlib import Path

import dagster as dg

from pipelines.catalog.sources import Source
from pipelines.steps.ingest import all_sources
from resources.home import HomeResource

_UNFINISHED = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
]
_PROGRAM = Path(sys.executable).with_name("mediadex")


class WatchedConfig(dg.Config):
    """The sources to index, by URL."""

    sources: list[str]


@dg.op(
    description="Runs `mediadex index`: scan, batches and release are runs of their own.",
    retry_policy=dg.RetryPolicy(max_retries=3, delay=15),
)
def index_changed(
    context: dg.OpExecutionContext, config: WatchedConfig, home: HomeResource
) -> None:
    """Index some sources one after the other, up to a release."""
    folder = str(home.settings().home.resolve())
    for url in config.sources:
        command = [str(_PROGRAM), "index", url, "--home", folder, "--json"]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
        if done.returncode:
            raise dg.Failure(f"{url} is not indexed; what it said stands in the log of this run")
        context.log.info(done.stdout.strip())


@dg.job(
    executor_def=dg.in_process_executor,
    description="Index sources from the scan to the release at once, as the terminal does.",
)
def index_sources() -> None:
    """Index what changed."""
    index_changed()


@dg.sensor(
    job=index_sources,
    minimum_interval_seconds=15,
    description="Lists every known source, and indexes those of which the listing changed.",
)
def watch_sources(
    context: dg.SensorEvaluationContext, home: HomeResource
) -> dg.RunRequest | dg.SkipReason:
    """Ask for one run for all sources that changed, unless one is under way.

    A source that cannot be listed is as it was. What a failed run was to index waits for the next
    change, or the nightly scan.
    """
    settings = home.settings()
    under_way = dg.RunsFilter(job_name=index_sources.name, statuses=_UNFINISHED)
    if context.instance.get_runs(under_way, limit=1):
        return dg.SkipReason("what changed before is being indexed")
    seen: dict[str, str] = json.loads(context.cursor or "{}")
    now = dict(seen)
    for url in all_sources(home.store(), settings):
        try:
            now[url] = Source(url).listing(str(settings.home.resolve()))
        except OSError as error:
            context.log.warning(f"{url} cannot be listed: {type(error).__name__}")
    changed = sorted(url for url in now if now[url] != seen.get(url))
    context.update_cursor(json.dumps(now))
    if not changed:
        return dg.SkipReason("no listing changed")
    config = {index_changed.name: {"config": {"sources": changed}}}
    return dg.RunRequest(run_config={"ops": config})
