"""What commands share: the home that they work on, and how they print."""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from pipelines.settings import Settings, load_settings
from pipelines.store import Store

Home = Annotated[
    Path | None, typer.Option(help="Folder of the home; default $MEDIADEX_HOME, else .mediadex.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]

# Columns of tables that may take several lines.
_LONG = {"what", "reason", "model", "rate", "tables", "models", "detail"}
_PIPE_WIDTH = 200


def settings_of(home: Path | None) -> Settings:
    """Read the settings of a home."""
    return load_settings(home)


def open_home(home: Path | None) -> tuple[Settings, Store]:
    """Open a home; raises MediadexError where its tables wait for a migration."""
    from pipelines.tables.migrations import ensure_current

    settings = settings_of(home)
    store = Store(settings.root)
    ensure_current(store)
    return settings, store


def print_json(document: Any) -> None:
    """Print the one document of `--json`."""
    print(json.dumps(document, ensure_ascii=False, default=str))


def say(line: str) -> None:
    """Print a line for people."""
    print(line)


def table(title: str, columns: tuple[str, ...], rows: list[dict[str, Any]]) -> None:
    """Print rows under a title."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    shown = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for column in columns:
        shown.add_column(column, overflow="fold", no_wrap=column not in _LONG)
    for row in rows:
        shown.add_row(*(_cell(row.get(column, "")) for column in columns))
    # A pipe has no width: what reads it wants whole lines.
    Console(width=None if sys.stdout.isatty() else _PIPE_WIDTH).print(shown)


def _cell(value: Any) -> str:
    return "–" if value is None else f"{value:.2f}" if isinstance(value, float) else str(value)


def short(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return rows for a table, with numbers to four places."""
    return [
        {name: f"{value:.4f}" if isinstance(value, float) else value for name, value in row.items()}
        for row in rows
    ]
