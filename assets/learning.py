"""What people do with answers: weights learned of their clicks, and a profile on trial."""

from typing import Any

import dagster as dg
from pydantic import Field

from assets.common import OWNERS
from assets.reporting import markdown_table
from pipelines.errors import MediadexError
from pipelines.search.measuring.clicked import Clicked, learn_from_clicks
from pipelines.search.measuring.trials import Trial, compare
from resources.home import HomeResource

_DIGITS = 4


class TrialConfig(dg.Config):
    """What is compared."""

    profile: str = Field("", description="A profile that was on trial; empty: trial_profile.")


@dg.asset(
    group_name="learn",
    kinds={"python"},
    owners=OWNERS,
    deps=["release"],
    code_version="1",
    description="Scales and weights of channels, learned from clicks and verdicts. Half of the "
    "queries teach; the next release takes what answers the other half better.",
)
def fusion_weights(home: HomeResource) -> dg.MaterializeResult:
    """Learn, decide, record, and show why."""
    return dg.MaterializeResult(
        metadata=_lesson_metadata(learn_from_clicks(home.store(), home.settings()))
    )


@dg.asset(
    group_name="learn",
    kinds={"python"},
    owners=OWNERS,
    deps=["release"],
    code_version="1",
    description="What users did with the answers of the profile on trial and with the usual ones, "
    "and which differences are more than chance.",
)
def ab_report(home: HomeResource, config: TrialConfig) -> dg.MaterializeResult:
    """Compare both, and say plainly where there is too little to tell."""
    try:
        trial = compare(home.store(), config.profile or home.settings().trial_profile)
    except MediadexError as error:
        return dg.MaterializeResult(metadata={"report": dg.MetadataValue.md(str(error))})
    return dg.MaterializeResult(metadata=_trial_metadata(trial))


def _lesson_metadata(clicked: Clicked) -> dict[str, Any]:
    lesson = clicked.lesson
    metrics = {
        f"{row['choice']} {name}".replace(" ", "_"): round(row[name], 4)
        for row in lesson.scores
        if row["half"] == "held out"
        for name in ("ndcg@10", "recall@10")
    }
    used = "The next release takes them" if lesson.learned else "What was used before stays"
    learned = lesson.learned.weights if lesson.learned else {}
    weights = [{"channel": name, "weight": value} for name, value in learned.items()]
    told = [
        f"**{used}**: {lesson.reason}.",
        f"Of {clicked.judged} queries with feedback, {clicked.liked} found something good; "
        f"{clicked.asked}, of {clicked.people} people, could be asked again. Of these "
        f"{clicked.set_aside} were set aside, so that nobody decides alone.",
        markdown_table(lesson.scores, _DIGITS),
        markdown_table(weights, _DIGITS),
    ]
    return {
        **clicked.counts(),
        **metrics,
        "used": lesson.learned is not None,
        "report": dg.MetadataValue.md("\n\n".join(filter(None, told))),
    }


def _trial_metadata(trial: Trial) -> dict[str, Any]:
    told = [
        f"**{trial.profile}**: {trial.reason}.",
        f"{trial.users[1]} users with {trial.queries[1]} queries on trial, {trial.users[0]} with "
        f"{trial.queries[0]} as usual. `low` and `high` are the bounds "
        " of the difference (trial - usual) at 95 %, by resampling users; of twenty "
        "measures that do not differ, about one leaves 0 out.",
        markdown_table(trial.rows(), _DIGITS),
    ]
    return {
        "users_usual": trial.users[0],
        "users_trial": trial.users[1],
        **{f"trial_{each.name}": each.trial for each in trial.measures if each.trial is not None},
        "report": dg.MetadataValue.md("\n\n".join(told)),
    }
