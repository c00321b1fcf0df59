"""The door from the terminal: every command of `mediadex`, put together from the rooms behind it.

With `--json` one JSON document goes to standard output; everything else goes to standard error.
"""

import json
import logging
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from pipelines.errors import MediadexError
from pipelines.progress import LOGGER
from pipelines.settings import Settings, load_settings

app = typer.Typer(
    help="Index raw media and search the result.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,
)

Home = Annotated[
    Path | None, typer.Option(help="Folder of the home; default $MEDIADEX_HOME, else .mediadex.")
]
# Columns of tables that may take several lines.
_LONG = {"what", "reason", "model", "rate", "tables", "models", "detail"}

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


@app.command()
def index(source: str, home: Home = None, as_json: AsJson = False) -> None:
    """Index a folder or URL up to a new release, doing only what changed."""
    from sensors.launch import Launcher, prepare_home

    settings = _settings(home)
    prepare_home(settings)
    from definitions import definitions

    report = Launcher(definitions(), settings).index(source)
    if as_json:
        _print_json(report)
        return
    items, counted = report["items"], report["outcomes"]
    _say(f"release {report['release']} in {report['seconds']:.1f} s")
    _say("items     " + ", ".join(f"{count} {name}" for name, count in items.items()))
    _say("encoded   " + ", ".join(f"{count} {name}" for name, count in report["encoded"].items()))
    _say("outcomes  " + ", ".join(f"{count} {name}" for name, count in counted.items()))
    if report["candidate"]:
        _say(f"{report['candidate']} waits: mediadex promote {report['candidate']}")
    if sum(counted.values()) > counted["ok"]:
        _say("why: mediadex status --failed")


@app.command()
def search(
    text: Annotated[str | None, typer.Argument(help="What to look for.")] = None,
    image: Annotated[
        Path | None, typer.Option(help="A picture to look for, alone or with text.")
    ] = None,
    k: Annotated[int, typer.Option("-k", min=1, max=1000, help="How many results.")] = 10,
    where: Annotated[str | None, typer.Option(help="Filter, such as \"region = 'eu'\".")] = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Search the serving release by text, image, or both."""
    import asyncio

    from pipelines.search.service import SearchService, read_image
    from pipelines.store import Store

    settings = _settings(home)
    picture = read_image(image.read_bytes(), settings) if image else None
    service = SearchService(Store(settings.root), settings)
    answer = asyncio.run(service.search(text, picture, k, where))
    if as_json:
        _print_json(answer)
    else:
        _show_answer(answer)


@app.command()
def status(
    failed: Annotated[bool, typer.Option(help="List every item that is not ok, and why.")] = False,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Show items, channels, outcomes and the release."""
    from pipelines.models.suite import ModelSuite
    from pipelines.status import describe, failures
    from pipelines.store import Store

    settings = _settings(home)
    store = Store(settings.root)
    if failed:
        rows = failures(store)
        if as_json:
            _print_json(rows)
            return
        _table("not ok", ("status", "step", "what", "reason", "attempts", "next_try"), rows)
        return
    state = describe(store, ModelSuite.chosen_by(settings))
    if as_json:
        _print_json(state)
        return
    _say(f"release  {state['release'] or 'none yet'}")
    _say("items    " + ", ".join(f"{count} {name}" for name, count in state["items"].items()))
    _table("channels", ("channel", "rows", "items", "model"), state["channels"])
    _table("outcomes", tuple(state["outcomes"][0]), state["outcomes"])


Channel = Annotated[str | None, typer.Option(help="Only this channel, such as `caption`.")]
Batches = Annotated[
    str | None, typer.Option(help="Only these batches: one, or FIRST..LAST; either end may lack.")
]
Encoder = Annotated[str | None, typer.Option(help="Another encoder, built beside the present one.")]


@app.command()
def plan(
    channel: Channel = None,
    batches: Batches = None,
    encoder: Encoder = None,
    compare: Annotated[
        str | None, typer.Option(help="A saved plan (or `last`), beside what its work took.")
    ] = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Say what a backfill will take, in rows, seconds, GPU seconds and money; does nothing."""
    from pipelines import planning
    from pipelines.store import Store

    settings = _settings(home)
    store = Store(settings.root)
    if compare:
        found = planning.compare(store, None if compare == "last" else compare)
    else:
        found = _estimate(settings, channel, batches, encoder)[1]
    _print_json(found) if as_json else _show_plan(found)


@app.command()
def backfill(
    channel: Channel = None,
    batches: Batches = None,
    encoder: Encoder = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Plan, do the work of that plan and nothing else, and show what it took beside the plan.

    With --encoder the new vectors make a candidate, which `promote` puts into service.
    """
    from pipelines import planning
    from pipelines.store import Store
    from sensors.launch import Launcher, prepare_home

    settings = _settings(home)
    prepare_home(settings)
    from definitions import definitions

    what, found = _estimate(settings, channel, batches, encoder)
    if not as_json:
        _show_plan(found)
    done = Launcher(definitions(), settings).backfill(what)
    found = planning.compare(Store(settings.root), found["plan"])
    if as_json:
        _print_json(found | done)
        return
    _show_plan(found)
    if done["candidate"]:
        _say(f"{done['candidate']} waits: mediadex promote {done['candidate']}")
    elif done["remaining"]:
        _say(f"{done['remaining']} rows of other batches are still to be made")
    elif not encoder:
        _say("the next release will have it: mediadex index, or the job `publish`")


@app.command()
def redo(home: Home = None, as_json: AsJson = False) -> None:
    """Try at once everything that failed, also what was given up, and publish."""
    from sensors.launch import Launcher, prepare_home

    settings = _settings(home)
    prepare_home(settings)
    from definitions import definitions

    report = Launcher(definitions(), settings).redo()
    if as_json:
        _print_json(report)
        return
    _say(f"release {report['release']}")
    _say("encoded   " + ", ".join(f"{rows} {name}" for name, rows in report["encoded"].items()))
    _say("outcomes  " + ", ".join(f"{rows} {name}" for name, rows in report["outcomes"].items()))


@app.command()
def evaluate(queries: Path, home: Home = None, as_json: AsJson = False) -> None:
    """Score the serving release on labelled queries (JSON lines), fused and channel by channel."""
    import asyncio

    from pipelines.search.evaluation import evaluate as score
    from pipelines.search.evaluation import read_queries
    from pipelines.store import Store

    settings = _settings(home)
    report = asyncio.run(score(Store(settings.root), read_queries(queries), settings))
    if as_json:
        _print_json(report)
        return
    scores = {"fused": report["fused"], **report["channels"]}
    rows = [
        {"metric": metric, **{name: f"{values[metric]:.3f}" for name, values in scores.items()}}
        for metric in report["fused"]
    ]
    _table(f"{report['queries']} queries, release {report['release']}", tuple(rows[0]), rows)


releases = typer.Typer(invoke_without_command=True)
app.add_typer(releases, name="releases")


@releases.callback()
def list_releases(context: typer.Context, home: Home = None, as_json: AsJson = False) -> None:
    """Show what was released, refused and rolled back, and which release serves."""
    if context.invoked_subcommand:
        return
    from pipelines.releases.log import history
    from pipelines.store import Store

    rows = history(Store(_settings(home).root))
    if as_json:
        _print_json(rows)
        return
    columns = ("release", "state", "created_at", "items", "tables", "models", "ndcg@10", "verdict")
    _table("releases", columns, [_shown_release(row) for row in rows])


@releases.command()
def diff(before: str, after: str, home: Home = None, as_json: AsJson = False) -> None:
    """Show what a release has other than another: items, rows, channels, models, metrics."""
    from pipelines.releases.compare import compare
    from pipelines.store import Store

    found = compare(Store(_settings(home).root), before, after)
    if as_json:
        _print_json(found)
        return
    for change, items in found["items"].items():
        more = ", …" if items["count"] > len(items["ids"]) else ""
        listed = f": {', '.join(items['ids'])}{more}" if items["ids"] else ""
        _say(f"items {change:8} {items['count']}{listed}")
    for change, names in found["channels"].items():
        _say(f"channels {change:8} {', '.join(names) or 'none'}")
    for name, model in found["models"].items():
        old, new = (f"{each['name']} ({each['weights'][:12]})" for each in model.values())
        _say(f"model of {name}: {old} -> {new}")
    rows = [{"channel": name, **counts} for name, counts in found["rows"].items()]
    _table("rows", ("channel", "added", "removed", "changed", "same"), rows)
    if found["metrics"]:
        metrics = [
            {"metric": name, **{when: f"{value:.3f}" for when, value in values.items()}}
            for name, values in found["metrics"].items()
        ]
        _table("metrics", ("metric", "before", "after"), metrics)


@app.command()
def promote(release: str, home: Home = None, as_json: AsJson = False) -> None:
    """Serve a release, if the gates pass it by today's policy."""
    from pipelines.channels import CHANNELS
    from pipelines.models.suite import ModelSuite
    from pipelines.releases.publish import promote as serve_release
    from pipelines.store import Store

    settings = _settings(home)
    published = serve_release(Store(settings.root), release, settings)
    gates = [gate.model_dump() for gate in published.verdict.gates]
    models = ModelSuite.chosen_by(settings)
    for name, version in published.manifest.channels.items():
        if version.spec != models.spec(CHANNELS[name]):
            print(
                f"the settings choose another encoder for {name}; with "
                f'channel_encoders.{name} = "{version.spec}" the next release keeps this one',
                file=sys.stderr,
            )
    if as_json:
        _print_json({"release": release, "verdict": gates})
        return
    _say(f"{release} serves")
    answers = {True: "passed", False: "refused", None: "not asked"}
    rows = [{"gate": gate["name"], **gate, "answer": answers[gate["passed"]]} for gate in gates]
    _table("verdict", ("gate", "answer", "detail"), rows)


@app.command()
def rollback(
    release: Annotated[
        str | None, typer.Argument(help="An earlier release; without it, the one before.")
    ] = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Serve an earlier release again, at once and without asking gates."""
    from pipelines.releases.publish import rollback as serve_release
    from pipelines.store import Store

    manifest = serve_release(Store(_settings(home).root), release)
    if as_json:
        _print_json({"release": manifest.release})
    else:
        _say(f"{manifest.release} serves")


@app.command()
def erase(
    items: Annotated[
        list[str] | None, typer.Argument(help="Ids, as `search --json` tells them.")
    ] = None,
    owner: Annotated[str | None, typer.Option(help="Every item of this owner.")] = None,
    reason: Annotated[str, typer.Option(help="Why; stays on record for good.")] = "erased",
    later: Annotated[
        bool, typer.Option("--later", help="Hide now; leave removing to the nightly upkeep.")
    ] = False,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Hide items from every answer at once, then remove all that holds their bytes and prove it.

    The files in their sources are yours and stay; they are not indexed again. Without ids it
    carries out what still waits.
    """
    import dagster as dg

    from assets.erasure import cleanser
    from pipelines import ledger
    from pipelines.erasure.proof import as_rows
    from pipelines.erasure.purge import is_due, purge
    from pipelines.progress import reporter
    from pipelines.snapshots import remember_erasures
    from pipelines.store import Store
    from sensors.launch import prepare_home

    settings = _settings(home)
    store = Store(settings.root)
    wanted = [*(items or []), *(ledger.owned_by(store, owner) if owner else [])]
    erased = [row["item_id"] for row in ledger.erase(store, wanted, reason)] if wanted else []
    remember_erasures(store, settings)
    proof = None
    if not later and is_due(store):
        prepare_home(settings)
        with dg.DagsterInstance.get() as instance:
            proof = purge(store, settings, reporter("purging"), cleanse=cleanser(instance))
    waiting = len(ledger.pending(store))
    if as_json:
        told = proof.model_dump(mode="json") if proof else None
        _print_json({"erased": erased, "waiting": waiting, "proof": told})
        return
    _say(f"{len(erased)} newly erased; no answer shows them any more")
    if waiting:
        _say(f"{waiting} wait for their bytes to be removed: the nightly upkeep, or mediadex erase")
    if proof:
        _table(
            "searched, and nothing found", ("place", "files", "bytes", "decoded"), as_rows(proof)
        )
        _say(f"removed {len(proof.items)} in {proof.seconds:.1f} s; the proof: {proof.uri}")
    _say("the files in their sources were not touched; they are yours to delete")


@app.command()
def snapshot(home: Home = None, as_json: AsJson = False) -> None:
    """Copy what is new in the home to the place of snapshots, and let old ones go."""
    from pipelines import snapshots as kept
    from pipelines.progress import reporter
    from pipelines.store import Store

    settings = _settings(home)
    taken = kept.take(Store(settings.root), settings, reporter("snapshot, files"))
    gone = kept.expire(settings)
    if as_json:
        _print_json(_summary(taken) | {"removed": gone})
        return
    size, read = taken.bytes / 2**20, taken.read / 2**20
    _say(f"snapshot {taken.name} in {taken.seconds:.1f} s")
    _say(f"{len(taken.files)} files, {size:.1f} MiB, of which {read:.1f} MiB were read")
    if gone:
        _say(f"{len(gone)} older than {settings.keep_snapshot_days:.0f} days removed")


@app.command()
def snapshots(home: Home = None, as_json: AsJson = False) -> None:
    """List the snapshots that can be restored, oldest first."""
    from pipelines import snapshots as kept

    rows = [_summary(each) for each in kept.listed(_settings(home))]
    if as_json:
        _print_json(rows)
        return
    _table("snapshots", ("snapshot", "files", "bytes", "read", "items"), rows)


@app.command()
def restore(
    source: Annotated[
        str, typer.Argument(help="`latest`, a name of `snapshots`, or the URI of a listing.")
    ] = "latest",
    place: Annotated[
        str | None, typer.Option("--from", help="URI of the snapshots, where settings name none.")
    ] = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Bring a snapshot back into an empty home; what was erased since is erased again."""
    from pipelines import snapshots as kept
    from pipelines.progress import reporter

    settings = _settings(home)
    if place:
        settings = settings.model_copy(update={"snapshots": place})
    restored = kept.restore(source, settings, reporter("restore, files"))
    if as_json:
        _print_json(restored.model_dump())
        return
    _say(f"restored {restored.snapshot} into {settings.root} in {restored.seconds:.1f} s")
    _table("rows", ("table", "rows"), [{"table": t, "rows": n} for t, n in restored.rows.items()])
    for step in restored.migrated:
        _say(f"migrated {step}")
    if restored.erased_again:
        _say(f"{restored.erased_again} items were erased after this snapshot and are hidden again")
        _say("remove their bytes: mediadex erase")


@app.command()
def migrate(
    to: Annotated[
        int | None, typer.Option(help="Number to go to, also back; default newest.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what differs.")] = False,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Bring the columns of the home's tables to those of this version, or back."""
    from pipelines.progress import reporter
    from pipelines.store import Store
    from pipelines.tables import migrations

    store = Store(_settings(home).root)
    differs = migrations.diff(store)
    pending = [f"up {each.number}: {each.name}" for each in migrations.pending(store)]
    done = [] if dry_run else migrations.migrate(store, to, reporter("migrations"))
    at = migrations.state(store)
    if as_json:
        told = {"differs": differs, "pending": pending, "done": done}
        _print_json({"at": at, "newest": migrations.CURRENT, **told})
        return
    for line in differs:
        _say(line)
    for step in pending if dry_run else done:
        _say(f"{'would do' if dry_run else 'did'} {step}")
    _say(f"the home is at {at} of {migrations.CURRENT}")


def _summary(kept: Any) -> dict[str, Any]:
    """Return a snapshot in one row, without its listing."""
    return {
        "snapshot": kept.name,
        "files": len(kept.files),
        "bytes": kept.bytes,
        "read": kept.read,
        "items": kept.rows.get("items", 0),
        "seconds": kept.seconds,
    }


@app.command()
def serve(host: str = "127.0.0.1", port: int = 8000, home: Home = None) -> None:
    """Serve the search API (and its OpenAPI page at /docs)."""
    import uvicorn

    from serving.app import create_app

    # Access logs would keep what people asked for.
    uvicorn.run(create_app(_settings(home)), host=host, port=port, access_log=False)


@app.command()
def ui(host: str = "127.0.0.1", port: int = 3000, home: Home = None) -> None:
    """Open the Dagster UI over this home: webserver and daemon."""
    from sensors.launch import prepare_home

    prepare_home(_settings(home))
    workspace = Path(__file__).with_name("workspace.yaml")
    command = ["dagster", "dev", "-w", str(workspace), "-h", host, "-p", str(port)]
    raise typer.Exit(
        subprocess.run([str(Path(sys.executable).with_name(command[0])), *command[1:]]).returncode
    )


def _settings(home: Path | None) -> Settings:
    return load_settings(home)


def _estimate(
    settings: Settings, channel: str | None, batches: str | None, encoder: str | None
) -> tuple[Any, dict[str, Any]]:
    """Make and save a plan; returns its scope and how it compares, with nothing done yet."""
    from pipelines import planning
    from pipelines.models.suite import ModelSuite
    from pipelines.store import Store

    store = Store(settings.root)
    what = planning.scope(store, channel, batches, encoder)
    estimates = planning.estimate(store, ModelSuite.chosen_by(settings), settings, what)
    return what, planning.compare(store, planning.save(store, what, estimates))


def _show_plan(found: dict[str, Any]) -> None:
    from pipelines.planning import total

    steps = found["steps"]
    if not any(step["rows"] + step["expected"] + step["rows_done"] for step in steps):
        _say("there is nothing to do")
        return
    seconds, money = total(steps, "seconds"), total(steps, "money")
    told = "seconds not known" if seconds is None else f"{seconds:.1f} s"
    told += "" if money is None else f", {money:.4f} of money"
    columns = ["step", "rows", "expected", "rate", "seconds"]
    others = ("copied", "removed", "waiting", "gpu_seconds", "money", "rows_done", "seconds_taken")
    columns += [name for name in others if any(step[name] for step in steps)]
    _table(f"plan {found['plan']}: {told}", tuple(columns), steps)


def _shown_release(row: dict[str, Any]) -> dict[str, Any]:
    refused = [gate["name"] for gate in row["verdict"] if gate["passed"] is False]
    asked = any(gate["passed"] is not None for gate in row["verdict"])
    score = row["evaluation"].get("fused", {}).get("ndcg@10")
    return {
        **row,
        "tables": ", ".join(f"{name} {version}" for name, version in row["tables"].items()),
        "models": ", ".join(dict.fromkeys(row["models"].values())),
        "ndcg@10": "" if score is None else f"{score:.3f}",
        "verdict": f"refused: {', '.join(refused)}" if refused else "passed" if asked else "",
    }


def _print_json(document: Any) -> None:
    print(json.dumps(document, ensure_ascii=False, default=str))


def _say(line: str) -> None:
    print(line)


def _table(title: str, columns: tuple[str, ...], rows: list[dict[str, Any]]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for column in columns:
        table.add_column(column, overflow="fold", no_wrap=column not in _LONG)
    for row in rows:
        table.add_row(*(_cell(row.get(column, "")) for column in columns))
    # A pipe has no width: what reads it wants whole lines.
    Console(width=None if sys.stdout.isatty() else 200).print(table)


def _cell(value: Any) -> str:
    return "–" if value is None else f"{value:.2f}" if isinstance(value, float) else str(value)


def _show_answer(answer: dict[str, Any]) -> None:
    if not answer["results"]:
        _say(f"nothing found in release {answer['release']}")
    for place, result in enumerate(answer["results"], start=1):
        shares = "  ".join(f"{name} {share:.3f}" for name, share in result["channels"].items())
        segment = result["segment"]
        page = f" p. {segment['page']}" if segment and segment["page"] else ""
        _say(f"{place:>3}. {result['score']:.3f}  {result['uri']}{page}")
        _say(f"     {result['title'] or result['item_id']}   [{shares}]")


def main() -> None:
    """Run the command line; our own errors become one line on standard error."""
    progress = logging.getLogger(LOGGER)
    progress.setLevel(logging.INFO)
    progress.addHandler(logging.StreamHandler(sys.stderr))
    progress.propagate = False
    try:
        app()
    except (MediadexError, FileNotFoundError) as error:
        print(f"mediadex: {error}", file=sys.stderr)
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()
