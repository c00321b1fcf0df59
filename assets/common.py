"""What assets share: partitions, owners, policies, code versions."""

import warnings

import dagster as dg

from pipelines.models.suite import ModelSuite
from pipelines.recipes import digest
from pipelines.settings import load_settings

OWNERS = ["team:media-index"]

# A backfill policy is what makes a range of batches one run; its interface is still called beta.
warnings.filterwarnings("ignore", ".*backfill_policy.*", dg.BetaWarning)

batches = dg.DynamicPartitionsDefinition(name="batches")

# One run for a range of batches: models are loaded once for all of them.
ONE_RUN = dg.BackfillPolicy.single_run()


def _any_dep(condition: dg.AutomationCondition) -> dg.AutomationCondition:
    # A scan updates `items` as a whole; which batches changed is told by `raw_media`.
    return dg.AutomationCondition.any_deps_match(condition).ignore(
        dg.AssetSelection.assets("items")
    )


# Unlike `eager`, this never requests a batch together with what it is made from: captions and
# vectors wait until all that they are made of was redacted with success. And it works on what waits
# when it is turned on.
AUTOMATION = (
    (
        dg.AutomationCondition.newly_missing() | _any_dep(dg.AutomationCondition.newly_updated())
    ).since(dg.AutomationCondition.newly_requested() | dg.AutomationCondition.newly_updated())
    & ~_any_dep(
        dg.AutomationCondition.missing()
        | dg.AutomationCondition.in_progress()
        | dg.AutomationCondition.execution_failed()
    )
    & ~dg.AutomationCondition.in_progress()
).with_label("when its inputs have arrived")


def chosen_models() -> ModelSuite:
    """Return the models of the home that this code location serves, without loading any."""
    return ModelSuite.chosen_by(load_settings())


def code_version(code: str, *models: str) -> str:
    """Derive a code version from that of a step's code and the specs or keys of its models.

    The identity of a model that is no built-in is known only after loading it, which loading
    definitions must not do; rows follow the identity, this version follows the spec.
    """
    return digest(code, *models)[:12]
