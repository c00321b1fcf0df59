"""Measuring how vectors are best indexed."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.indexing import launcher
from cli.terminal import AsJson, Home, open_home, print_json, say, table

if TYPE_CHECKING:
    from pipelines.search.measuring.bench import Point

_COLUMNS = ("channel", "index", "nprobes", "refine", "recall", "recall_10", "recall_1", "p99_ms")


def tune(
    channel: Annotated[
        list[str] | None, typer.Option(help="Only this channel; may be given several times.")
    ] = None,
    rows: Annotated[
        int | None, typer.Option(help="Channels of at least so many rows; default index_rows.")
    ] = None,
    sample: Annotated[
        int | None, typer.Option(help="Rows of a channel that are measured; default 100000.")
    ] = None,
    seconds: Annotated[
        float | None, typer.Option(help="When building indexes of a channel ends; default 900.")
    ] = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Measure vector indexes on what serves; the next release takes the fastest good one.

    What is told was measured on queries that did not choose. Every point, and the picture, are in
    the UI, with the asset `index_tuning`.
    """
    from pipelines.outcomes import now
    from pipelines.search.measuring.tuning import read_sweeps

    settings, store = open_home(home)
    started = now()
    given = {"channels": channel, "rows": rows, "sample": sample, "seconds": seconds}
    launcher(settings).tune({name: value for name, value in given.items() if value is not None})
    sweeps = [sweep for sweep in read_sweeps(store).values() if sweep.at >= started]
    if as_json:
        print_json({each.channel: each.model_dump(mode="json") for each in sweeps})
        return
    if not sweeps:
        say(f"no channel has {rows or settings.index_rows} rows; fewer: --rows")
        return
    table("chosen", _COLUMNS, [_shown(each.channel, each.held_out) for each in sweeps])
    say("the next release takes them: mediadex index SOURCE")


def _shown(channel: str, point: "Point") -> dict[str, Any]:
    values = {"channel": channel, **point.model_dump()}
    return {
        name: f"{values[name]:.3f}" if isinstance(values[name], float) else values[name]
        for name in _COLUMNS
    }
