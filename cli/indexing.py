"""Making the index: scanning, backfills and their plans, what failed, how it stands."""

from typing import Annotated, Any

import typer

from cli.terminal import AsJson, Home, open_home, print_json, say, table
from pipelines.settings import Settings
from pipelines.store import Store

Channel = Annotated[str | None, typer.Option(help="Only this channel, such as `caption`.")]
Batches = Annotated[
    str | None, typer.Option(help="Only these batches: one, or FIRST..LAST; either end may lack.")
]
Encoder = Annotated[str | None, typer.Option(help="Another encoder, built beside the present one.")]


def index(source: str, home: Home = None, as_json: AsJson = False) -> None:
    """Index a folder or URL up to a new release, doing only what changed."""
    from pipelines.releases.log import waiting

    settings, store = open_home(home)
    report = launcher(settings).index(source)
    if as_json:
        print_json(report)
        return
    counted = report["outcomes"]
    say(f"release {report['release']} in {report['seconds']:.1f} s")
    _count("items", report["items"])
    _count("encoded", report["encoded"])
    _count("outcomes", counted)
    if candidate := waiting(store):
        say(f"{candidate} waits: mediadex promote {candidate}")
    if sum(counted.values()) > counted["ok"]:
        say("why: mediadex status --failed")


def status(
    failed: Annotated[bool, typer.Option(help="List every item that is not ok, and why.")] = False,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Show items, channels, outcomes and the release."""
    from pipelines.models.suite import ModelSuite
    from pipelines.status import describe, failures

    settings, store = open_home(home)
    if failed:
        rows = failures(store)
        if as_json:
            print_json(rows)
            return
        table("not ok", ("status", "step", "what", "reason", "attempts", "next_try"), rows)
        return
    state = describe(store, ModelSuite.chosen_by(settings))
    if as_json:
        print_json(state)
        return
    say(f"release   {state['release'] or 'none yet'}")
    _count("items", state["items"])
    table("channels", ("channel", "rows", "items", "model"), state["channels"])
    table("outcomes", tuple(state["outcomes"][0]), state["outcomes"])


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

    settings, store = open_home(home)
    if compare:
        found = planning.compare(store, None if compare == "last" else compare)
    else:
        found = _estimate(settings, store, channel, batches, encoder)[1]
    print_json(found) if as_json else _show_plan(found)


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

    settings, store = open_home(home)
    what, found = _estimate(settings, store, channel, batches, encoder)
    if not as_json:
        _show_plan(found)
    done = launcher(settings).backfill(what)
    found = planning.compare(store, found["plan"])
    if as_json:
        print_json(found | done)
        return
    _show_plan(found)
    if done["candidate"]:
        say(f"{done['candidate']} waits: mediadex promote {done['candidate']}")
    elif done["remaining"]:
        say(f"{done['remaining']} rows of other batches are still to be made")
    elif not encoder:
        say("the next release will have it: mediadex index, or the job `publish`")


def redo(home: Home = None, as_json: AsJson = False) -> None:
    """Try at once everything that failed, also what was given up, and publish."""
    report = launcher(open_home(home)[0]).redo()
    if as_json:
        print_json(report)
        return
    say(f"release {report['release']}")
    _count("encoded", report["encoded"])
    _count("outcomes", report["outcomes"])


def _count(what: str, counted: dict[str, int]) -> None:
    say(f"{what:9} " + ", ".join(f"{count} {name}" for name, count in counted.items()))


def launcher(settings: Settings) -> Any:
    """Return what starts runs on the home's Dagster instance."""
    from sensors.launch import Launcher, prepare_home

    # Definitions are loaded for a home, so it has to be named first.
    prepare_home(settings)
    from definitions import definitions

    return Launcher(definitions(), settings)


def _estimate(
    settings: Settings,
    store: Store,
    channel: str | None,
    batches: str | None,
    encoder: str | None,
) -> tuple[Any, dict[str, Any]]:
    """Make and save a plan; returns its scope and how it compares, with nothing done yet."""
    from pipelines import planning
    from pipelines.models.suite import ModelSuite

    what = planning.scope(store, channel, batches, encoder)
    estimates = planning.estimate(store, ModelSuite.chosen_by(settings), settings, what)
    return what, planning.compare(store, planning.save(store, what, estimates))


def _show_plan(found: dict[str, Any]) -> None:
    from pipelines.planning import total

    steps = found["steps"]
    if not any(step["rows"] + step["expected"] + step["rows_done"] for step in steps):
        say("there is nothing to do")
        return
    seconds, money = total(steps, "seconds"), total(steps, "money")
    told = "seconds not known" if seconds is None else f"{seconds:.1f} s"
    told += "" if money is None else f", {money:.4f} of money"
    columns = ["step", "rows", "expected", "rate", "seconds"]
    others = ("copied", "removed", "waiting", "gpu_seconds", "money", "rows_done", "seconds_taken")
    columns += [name for name in others if any(step[name] for step in steps)]
    table(f"plan {found['plan']}: {told}", tuple(columns), steps)
