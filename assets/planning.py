"""What a backfill will take, as an asset to be materialized before it is launched."""

from typing import Any

import dagster as dg
from pydantic import Field

from assets.common import OWNERS
from pipelines import planning
from resources.home import HomeResource

_COLUMNS = {
    "step": "string",
    "rows": "int",
    "expected": "int",
    "copied": "int",
    "removed": "int",
    "waiting": "int",
    "rate": "string",
    "seconds": "float",
    "gpu_seconds": "float",
    "money": "float",
}
_TAKEN = {"rows_done": "int", "seconds_taken": "float"}


class PlanConfig(dg.Config):
    """What is to be backfilled; empty fields mean everything."""

    channel: str = Field("", description="Only this channel, such as `caption`.")
    batches: str = Field("", description="Only these batches: one, or `FIRST..LAST`.")
    encoder: str = Field("", description="With this encoder in the place of the present one.")
    compare: str = Field("", description="No new plan: this saved one, beside what it took.")


@dg.asset(
    group_name="upkeep",
    kinds={"deltalake", "python"},
    owners=OWNERS,
    code_version="1",
    description="Rows, seconds, GPU seconds and money that a backfill will take: choose its scope "
    "in the launchpad. Name a saved plan in `compare` to see what its work took.",
)
def backfill_plan(
    context: dg.AssetExecutionContext, config: PlanConfig, home: HomeResource
) -> dg.MaterializeResult:
    """Estimate and save a plan, or compare a saved one."""
    store, settings = home.store(), home.settings()
    if config.compare:
        found = planning.compare(store, config.compare)
        return _result(config.compare, found["steps"], _COLUMNS | _TAKEN)
    what = planning.scope(
        store, config.channel or None, config.batches or None, config.encoder or None
    )
    estimates = planning.estimate(store, home.models(), settings, what)
    name = planning.save(store, what, estimates)
    context.log.info("saved as %s", name)
    return _result(name, [vars(each) for each in estimates], _COLUMNS)


def _result(
    name: str, steps: list[dict[str, Any]], columns: dict[str, str]
) -> dg.MaterializeResult:
    records = [
        dg.TableRecord({column: _shown(step[column]) for column in columns}) for step in steps
    ]
    schema = dg.TableSchema([dg.TableColumn(column, kind) for column, kind in columns.items()])
    return dg.MaterializeResult(
        metadata={
            "plan": name,
            "rows": sum(step["rows"] + step["expected"] for step in steps),
            "steps": dg.MetadataValue.table(records, schema=schema),
            **{
                key: value
                for key in ("seconds", "gpu_seconds", "money")
                if (value := planning.total(steps, key)) is not None
            },
        }
    )


def _shown(value: Any) -> Any:
    return "not known" if value is None else round(value, 4) if isinstance(value, float) else value
