"""Asset checks: what must hold of the tables, looked at after every run that may have changed it.

They report. The gate before private data is the asset `redacted_media`, which fails by itself.
"""

from collections.abc import Sequence
from typing import Any

import dagster as dg

from pipelines.quality.subjects import Subject, subjects
from pipelines.quality.suites import Verdict, inspect
from resources.home import HomeResource

_REMEMBERED = 10


def _check(subject: Subject) -> dg.AssetChecksDefinition:
    key = dg.AssetCheckKey(dg.AssetKey(subject.asset), subject.name)

    @dg.asset_check(asset=subject.asset, name=subject.name, description=subject.description)
    def check(context: dg.AssetCheckExecutionContext, home: HomeResource) -> dg.AssetCheckResult:
        store, models = home.store(), home.models()
        state = subject.state(store, models)
        before = _last(context.instance, key)
        if before is not None and before.metadata["state"].value == state:
            # The same tables end the same way: Great Expectations is not even loaded.
            return dg.AssetCheckResult(
                passed=before.passed,
                severity=before.severity,
                description=before.description,
                metadata=before.metadata,
            )
        rows = subject.rows(store, models)
        return _result(subject, rows, inspect(subject.suite, rows), state)

    return check


def _last(instance: dg.DagsterInstance, key: dg.AssetCheckKey) -> dg.AssetCheckEvaluation | None:
    """Return how the check last ended; the newest record is that of the run in progress."""
    history = instance.event_log_storage.get_asset_check_execution_history(key, _REMEMBERED)
    events = (record.event.dagster_event for record in history if record.event)
    ended = (event.asset_check_evaluation_data for event in events if event and _ended(event))
    return next((data for data in ended if "state" in data.metadata), None)


def _ended(event: dg.DagsterEvent) -> bool:
    return event.event_type is dg.DagsterEventType.ASSET_CHECK_EVALUATION


def _result(
    subject: Subject, rows: Any, verdicts: Sequence[Verdict], state: str
) -> dg.AssetCheckResult:
    failed = [verdict for verdict in verdicts if not verdict.success]
    critical = any(verdict.critical for verdict in failed)
    named = "; ".join(f"{verdict.column}: {verdict.expectation}" for verdict in failed)
    return dg.AssetCheckResult(
        passed=not failed and (rows.num_rows > 0 or not subject.required),
        severity=dg.AssetCheckSeverity.ERROR if critical else dg.AssetCheckSeverity.WARN,
        description=named or ("all hold" if rows.num_rows else "there is nothing yet"),
        metadata={
            "rows": rows.num_rows,
            "expectations": len(verdicts),
            "failed": len(failed),
            "unexpected": sum(verdict.unexpected for verdict in verdicts),
            "verdicts": _table(verdicts),
            "state": state,
            **_shares(rows),
        },
    )


def _shares(rows: Any) -> dict[str, float]:
    """Return the shares that rows consist of, under the names of what they are shares of."""
    if "share" not in rows.column_names:
        return {}
    what, name = ("failed", "step") if "failed" in rows.column_names else ("coverage", "name")
    return {f"{what}_{row[name]}": round(row["share"], 6) for row in rows.to_pylist()}


def _table(verdicts: Sequence[Verdict]) -> dg.MetadataValue:
    return dg.MetadataValue.table(
        [
            dg.TableRecord(
                {
                    "column": verdict.column,
                    "expectation": verdict.expectation,
                    "holds": verdict.success,
                    "unexpected": verdict.unexpected,
                }
            )
            for verdict in verdicts
        ],
        schema=dg.TableSchema(
            [
                dg.TableColumn("column", "string"),
                dg.TableColumn("expectation", "string"),
                dg.TableColumn("holds", "bool"),
                dg.TableColumn("unexpected", "int"),
            ]
        ),
    )


checks = [_check(subject) for subject in subjects()]
