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
_LONG = {"what", "reason", "model"}

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
    """Search the latest release by text, image, or both."""
    import asyncio

    from pipelines.search.service import SearchService, read_image
    from pipelines.store import Store

    settings = _settings(home)
    picture = read_image(image.read_bytes(), settings) if image else None
    service = SearchService(Store(settings.root))
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
    from pipelines.status import describe, failures
    from pipelines.store import Store

    store = Store(_settings(home).root)
    if failed:
        rows = failures(store)
        if as_json:
            _print_json(rows)
            return
        _table("not ok", ("status", "step", "what", "reason"), rows)
        return
    state = describe(store)
    if as_json:
        _print_json(state)
        return
    _say(f"release  {state['release'] or 'none yet'}")
    _say("items    " + ", ".join(f"{count} {name}" for name, count in state["items"].items()))
    _table("channels", ("channel", "rows", "items", "model"), state["channels"])
    _table("outcomes", ("step", "ok", "failed", "quarantined", "skipped"), state["outcomes"])


@app.command()
def evaluate(queries: Path, home: Home = None, as_json: AsJson = False) -> None:
    """Score the latest release on labelled queries (JSON lines), fused and channel by channel."""
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
        table.add_row(*(str(row.get(column, "")) for column in columns))
    Console().print(table)


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
