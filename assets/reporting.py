"""Metadata worth looking at: numbers that are plotted, tables, and a contact sheet per batch."""

import base64
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

from pipelines import outcomes
from pipelines.costs import Rate
from pipelines.steps.runner import Report
from pipelines.store import Store
from pipelines.tables.facts import quoted

_SHEET_COLUMNS = 8
_SHEET_TILES = 24
_TILE = 72
_LISTED = 50


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


def contact_sheet(store: Store, batch: str) -> dg.MetadataValue:
    """Show a batch's redacted thumbnails as one small picture, beside how many there are."""
    from PIL import Image, ImageOps

    where = f"batch = {quoted(batch)} AND thumbnail IS NOT NULL"
    names = sorted(store.segments.rows(["key", "thumbnail"], where), key=lambda row: row["key"])
    shown = names[:_SHEET_TILES]
    if not shown:
        return dg.MetadataValue.md("This batch holds no pictures.")
    rows = -(-len(shown) // _SHEET_COLUMNS)
    columns = min(len(shown), _SHEET_COLUMNS)
    sheet = Image.new("RGB", (columns * _TILE, rows * _TILE), "white")
    for place, row in enumerate(shown):
        with Image.open(io.BytesIO(store.blobs.get(row["thumbnail"]))) as thumbnail:
            tile = ImageOps.pad(thumbnail.convert("RGB"), (_TILE - 4, _TILE - 4), color="white")
        y, x = divmod(place, _SHEET_COLUMNS)
        sheet.paste(tile, (x * _TILE + 2, y * _TILE + 2))
    buffer = io.BytesIO()
    sheet.save(buffer, "JPEG", quality=55, optimize=True)
    picture = base64.b64encode(buffer.getvalue()).decode()
    return dg.MetadataValue.md(
        f"{len(shown)} of {len(names)} redacted pictures\n\n"
        f"![contact sheet](data:image/jpeg;base64,{picture})"
    )
