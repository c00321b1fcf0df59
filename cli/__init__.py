"""The door from the terminal: every command of `mediadex`, put together from the rooms behind it.

With `--json` one JSON document goes to standard output; everything else goes to standard error.
"""

import logging
import sys

import typer

from cli import (
    answering,
    indexing,
    keeping,
    learning,
    measuring,
    releasing,
    rights,
    searching,
    tuning,
    uploading,
)
from pipelines.errors import MediadexError
from pipelines.progress import LOGGER

app = typer.Typer(
    help="Index raw media and search the result.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,
)
for command in (
    indexing.index,
    searching.search,
    answering.answer,
    indexing.status,
    indexing.plan,
    indexing.backfill,
    indexing.redo,
    measuring.evaluate,
    learning.learn,
    learning.trial,
    tuning.tune,
    releasing.promote,
    releasing.rollback,
    keeping.erase,
    keeping.snapshot,
    keeping.snapshots,
    keeping.restore,
    keeping.migrate,
    searching.serve,
    searching.ui,
):
    app.command()(command)
app.command(hidden=True)(uploading.index_uploads)
app.add_typer(releasing.releases, name="releases")
app.add_typer(rights.tokens, name="tokens")


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
