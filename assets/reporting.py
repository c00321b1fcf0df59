"""Metadata worth looking at: numbers that are plotted, tables, and pictures of each batch."""

import base64
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from textwrap import shorten
from typing import Any

import dagster as dg

from pipelines import outcomes
from pipelines.costs import Rate
from pipelines.progress import clock
from pipelines.steps.runner import Report
from pipelines.store import Store
from pipelines.tables.facts import equals_any, quoted

_SHEET_COLUMNS = 8
_SHEET_TILES = 24
_TILE = 72
_LISTED = 50
_STRIPS = 8
_PREVIEW = 160


def step_metadata(
    report: Report, rows: Sequence[Mapping[str, Any]], rate: Rate | None
) -> dict[str, Any]:
    """Describe a step's work on one batch; `rows` are the outcomes on record.

    `rate` is what such work took before this run: its estimate stands beside the actual seconds.
    """
    counted = outcomes.counts(rows)
    counted["ok"] = report.rows - report.waiting - report.refused - len(report.failures)
    return {
        "rows": report.rows,
        "encoded": report.encoded,
        "refreshed": report.refreshed,
        "removed": report.removed,
        **counted,
        "seconds": round(report.seconds, 3),
        "outcomes": outcome_table(rows, counted["ok"]),
        **(
            {"rows_per_second": round(report.encoded / report.seconds, 2)} if report.encoded else {}
        ),
        **(
            {
                "media_seconds": round(report.media_s, 1),
                "real_time_factor": round(report.seconds / report.media_s, 4),
            }
            if report.media_s
            else {}
        ),
        **(
            {"estimated_seconds": round(rate.seconds * report.encoded, 3)}
            if rate and report.encoded
            else {}
        ),
    }


def outcome_table(rows: Sequence[Mapping[str, Any]], done: int = 0) -> dg.MetadataValue:
    """Show how many ended how and why; `done` of them are simply there."""
    tally = Counter((row["status"], row["reason"] or "") for row in rows)
    tally.update({("ok", ""): done} if done else {})
    return dg.MetadataValue.table(
        [
            dg.TableRecord({"status": status, "items": items, "reason": reason})
            for (status, reason), items in tally.most_common(_LISTED)
        ],
        schema=dg.TableSchema(
            [
                dg.TableColumn("status", "string"),
                dg.TableColumn("items", "int"),
                dg.TableColumn("reason", "string"),
            ]
        ),
    )


def table_schema(schema: Any) -> dg.TableSchema:
    """Show the columns of an Arrow schema."""
    return dg.TableSchema([dg.TableColumn(field.name, str(field.type)) for field in schema])


def contact_sheet(store: Store, batch: str) -> dict[str, dg.MetadataValue]:
    """Show a batch's redacted pictures and pages as one picture, beside how many there are."""
    where = f"batch = {quoted(batch)} AND {equals_any('kind', ('image', 'page'))}"
    rows = store.segments.rows(["key", "thumbnail"], where)
    names = [row["thumbnail"] for row in sorted(rows, key=lambda row: row["key"])]
    if not names:
        return {"contact_sheet": dg.MetadataValue.md("This batch holds no pictures.")}
    shown = names[:_SHEET_TILES]
    sheet = _sheet(
        store, [shown[at : at + _SHEET_COLUMNS] for at in range(0, len(shown), _SHEET_COLUMNS)]
    )
    told = f"{len(shown)} of {len(names)} redacted pictures"
    return {"contact_sheet": dg.MetadataValue.md(f"{told}\n\n{sheet}")}


def storyboards(store: Store, batch: str) -> dict[str, dg.MetadataValue]:
    """Show a batch's videos, each as a strip of redacted keyframes spread over its length."""
    where = f"batch = {quoted(batch)} AND kind = 'keyframe'"
    frames: dict[str, list[dict[str, Any]]] = {}
    rows = store.segments.rows(["item_id", "start_s", "end_s", "thumbnail"], where)
    for row in sorted(rows, key=lambda row: (row["item_id"], row["start_s"])):
        frames.setdefault(row["item_id"], []).append(row)
    if not frames:
        return {"storyboards": dg.MetadataValue.md("This batch holds no videos.")}
    shown = dict(list(frames.items())[:_STRIPS])
    strips = [[row["thumbnail"] for row in _spread(strip)] for strip in shown.values()]
    # No ids: what an event shows of an erased item is removed, what it says is not.
    listed = "\n".join(
        f"{number}. {len(strip)} keyframes, {clock(strip[-1]['end_s'])} long"
        for number, strip in enumerate(shown.values(), start=1)
    )
    told = f"{len(shown)} of {len(frames)} videos, {len(rows)} redacted keyframes in all"
    return {"storyboards": dg.MetadataValue.md(f"{told}\n\n{_sheet(store, strips)}\n\n{listed}")}


def spoken_previews(store: Store, batch: str) -> dict[str, dg.MetadataValue]:
    """Show how the transcripts of a batch begin, redacted as they are stored."""
    where = f"batch = {quoted(batch)} AND source = 'transcript' AND start_s IS NOT NULL"
    rows = store.texts.rows(["item_id", "text", "start_s", "end_s", "confidence"], where)
    rows.sort(key=lambda row: (row["item_id"], row["start_s"]))
    first = list({row["item_id"]: row for row in reversed(rows)}.values())[::-1]
    if not first:
        return {"spoken": dg.MetadataValue.md("Nothing is said in this batch.")}
    lines = [
        f"{clock(row['start_s'])}–{clock(row['end_s'])}  {_sureness(row['confidence'])}  "
        + shorten(row["text"].replace("`", "'"), _PREVIEW)
        for row in first[:_LISTED]
    ]
    told = f"{len(lines)} of {len(first)} transcripts, redacted: when, how sure, what"
    listed = "\n".join(lines)
    return {
        "spoken": dg.MetadataValue.md(f"{told}\n\n```spoken\n{listed}\n```"),
        "transcribed_items": dg.MetadataValue.int(len(first)),
    }


def _sureness(confidence: float | None) -> str:
    return " –  " if confidence is None else f"{confidence:.2f}"


def _spread(strip: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return at most a row of keyframes, evenly spread from the first to the last."""
    if len(strip) <= _SHEET_COLUMNS:
        return list(strip)
    step = (len(strip) - 1) / (_SHEET_COLUMNS - 1)
    return [strip[round(place * step)] for place in range(_SHEET_COLUMNS)]


def _sheet(store: Store, rows: Sequence[Sequence[str]]) -> str:
    """Return thumbnails, in rows, as one picture within markdown."""
    from PIL import Image, ImageOps

    columns = max(map(len, rows))
    sheet = Image.new("RGB", (columns * _TILE, len(rows) * _TILE), "white")
    for y, row in enumerate(rows):
        for x, name in enumerate(row):
            with Image.open(io.BytesIO(store.blobs.get(name))) as thumbnail:
                tile = ImageOps.pad(thumbnail.convert("RGB"), (_TILE - 4, _TILE - 4), color="white")
            sheet.paste(tile, (x * _TILE + 2, y * _TILE + 2))
    buffer = io.BytesIO()
    sheet.save(buffer, "JPEG", quality=55, optimize=True)
    picture = base64.b64encode(buffer.getvalue()).decode()
    return f"![pictures](data:image/jpeg;base64,{picture})"


def markdown_table(rows: Sequence[Mapping[str, Any]], digits: int = 3) -> str:
    """Write rows of the same columns as a table; what is not known is –, no rows are nothing."""
    if not rows:
        return ""

    def cell(value: Any) -> str:
        return f"{value:.{digits}f}" if isinstance(value, float) else str(value)

    told = [["–" if value is None else cell(value) for value in row.values()] for row in rows]
    lines = [[*rows[0]], ["---"] * len(rows[0]), *told]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
