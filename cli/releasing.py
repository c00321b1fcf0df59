"""Releases: what they are, how they differ, which one serves."""

import sys
from typing import Annotated, Any

import typer

from cli.terminal import AsJson, Home, open_home, print_json, say, table

releases = typer.Typer(invoke_without_command=True)


@releases.callback()
def list_releases(context: typer.Context, home: Home = None, as_json: AsJson = False) -> None:
    """Show what was released, refused and rolled back, and which release serves."""
    if context.invoked_subcommand:
        return
    from pipelines.releases.log import history

    rows = history(open_home(home)[1])
    if as_json:
        print_json(rows)
        return
    columns = ("release", "state", "created_at", "items", "tables", "models", "ndcg@10", "verdict")
    table("releases", columns, [_shown_release(row) for row in rows])


@releases.command()
def diff(before: str, after: str, home: Home = None, as_json: AsJson = False) -> None:
    """Show what a release has other than another: items, rows, channels, models, metrics."""
    from pipelines.releases.compare import compare

    found = compare(open_home(home)[1], before, after)
    if as_json:
        print_json(found)
        return
    for change, items in found["items"].items():
        more = ", …" if items["count"] > len(items["ids"]) else ""
        listed = f": {', '.join(items['ids'])}{more}" if items["ids"] else ""
        say(f"items {change:8} {items['count']}{listed}")
    for change, names in found["channels"].items():
        say(f"channels {change:8} {', '.join(names) or 'none'}")
    for name, model in found["models"].items():
        old, new = (f"{each['name']} ({each['weights'][:12]})" for each in model.values())
        say(f"model of {name}: {old} -> {new}")
    rows = [{"channel": name, **counts} for name, counts in found["rows"].items()]
    table("rows", ("channel", "added", "removed", "changed", "same"), rows)
    if found["metrics"]:
        metrics = [
            {"metric": name, **{when: f"{value:.3f}" for when, value in values.items()}}
            for name, values in found["metrics"].items()
        ]
        table("metrics", ("metric", "before", "after"), metrics)


def promote(release: str, home: Home = None, as_json: AsJson = False) -> None:
    """Serve a release, if the gates pass it by today's policy."""
    from pipelines.channels import CHANNELS
    from pipelines.models.suite import ModelSuite
    from pipelines.releases.publish import promote as serve_release

    settings, store = open_home(home)
    published = serve_release(store, release, settings)
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
        print_json({"release": release, "verdict": gates})
        return
    say(f"{release} serves")
    answers = {True: "passed", False: "refused", None: "not asked"}
    rows = [{"gate": gate["name"], **gate, "answer": answers[gate["passed"]]} for gate in gates]
    table("verdict", ("gate", "answer", "detail"), rows)


def rollback(
    release: Annotated[
        str | None, typer.Argument(help="An earlier release; without it, the one before.")
    ] = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Serve an earlier release again, at once and without asking gates."""
    from pipelines.releases.publish import rollback as serve_release

    manifest = serve_release(open_home(home)[1], release)
    if as_json:
        print_json({"release": manifest.release})
    else:
        say(f"{manifest.release} serves")


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
