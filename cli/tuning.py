"""Measuring how vectors are best indexed."""

from typing import Annotated

import typer

from cli.indexing import _launcher
from cli.terminal import AsJson, Home, open_home, print_json, say, table


def tune(
    channel: Annotated[
        list[str] | None, typer.Option(help="Only this channel; may be given several times.")
    ] = None,
    rows: Annotated[
        int, typer.Option(help="Channels of at least so many rows; 0: setting index_rows.")
    ] = 0,
    sample: Annotated[int, typer.Option(help="Rows of a channel that are measured.")] = 100_000,
    seconds: Annotated[
        float, typer.Option(help="When building indexes of a channel ends.")
    ] = 900.0,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Measure vector indexes on what serves; the next release takes the fastest good one.

    The picture and every point are in the UI, with the asset `index_tuning`.
    """
