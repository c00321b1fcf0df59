"""From raw media to searchable rows, batch by batch: what is read, described and embedded."""

from collections.abc import Callable, Mapping
from typing import Any

import dagster as dg
from pydantic import Field

from assets.common import AUTOMATION, ONE_RUN, OWNERS, batches, chosen_models, code_version
from assets.reporting import contact_sheet, spoken_previews, step_metadata, storyboards
from pipelines import costs
from pipelines.channels import CHANNELS, Channel
from pipelines.models.suite import ModelSuite
from pipelines.pipeline import AFTER, build_step, versioned_code
from pipelines.progress import reporter
from pipelines.settings import load_settings
from pipelines.steps.embed import EmbedStep
from pipelines.steps.runner import RESIDUAL, run
from pipelines.store import Store
from pipelines.tables.facts import quoted
from pipelines.versions import code_version as version_of
from resources.home import HomeResource
from resources.kubernetes import gpu_op_tags

_MODELS = chosen_models()
_GPUS = load_settings().gpus
# What people would rather look at than read, by step.
_SHOWN: dict[str, Callable[[Store, str], Mapping[str, dg.MetadataValue]]] = {
    "redacted_media": contact_sheet,
    "keyframes": storyboards,
    "transcripts": spoken_previews,
}
_CODE = {name: version_of(name, tuple(code)) for name, code in versioned_code().items()}


class StepConfig(dg.Config):
    """How a step is to work this time."""

    redo: bool = Field(
        False, description="Also try what failed and is not due yet, or was given up."
    )
    encoder: str = Field(
        "", description="For vectors: another encoder, whose table is built beside the present one."
    )

    def models(self, chosen: ModelSuite, name: str) -> ModelSuite:
        """Return the chosen models, with this encoder for the channel of a step."""
        channels = [each for each in CHANNELS.values() if EmbedStep.name_of(each) == name]
        return chosen.with_encoders({each.name: self.encoder for each in channels if self.encoder})


def _derived(
    name: str, *, group: str, kinds: set[str], version: str, description: str
) -> dg.AssetsDefinition:
    """Make the asset of one step; what it does is in `pipelines.steps`."""

    @dg.asset(
        name=name,
        group_name=group,
        kinds=kinds,
        owners=OWNERS,
        # What reads media reads the files themselves.
        deps=AFTER[name] or ["raw_media"],
        partitions_def=batches,
        backfill_policy=ONE_RUN,
        pool=name,
        automation_condition=AUTOMATION,
        code_version=version,
        op_tags=gpu_op_tags(_GPUS) if "torch" in kinds and _GPUS else None,
        description=description,
    )
    def derived(context: dg.AssetExecutionContext, config: StepConfig, home: HomeResource) -> None:
        store, settings = home.store(), home.settings()
        step = build_step(name, store, config.models(home.models(), name), settings)
        rate = costs.measured(store, step)
        done: list[dict[str, Any]] = []
        clean: dict[str, dict[str, Any]] = {}
        residual = 0
        for batch in context.partition_keys:
            report = run(step, batch, settings, reporter(f"{name} {batch}"), redo=config.redo)
            if report.encoded:
                done.append(costs.entry(step, batch, report))
            where = f"step = {quoted(name)} AND batch = {quoted(batch)}"
            metadata = step_metadata(report, store.outcomes.rows(where=where), rate)
            if show := _SHOWN.get(name):
                metadata |= show(store, batch)
            residual += len(report.residual)
            if not report.residual:
                clean[batch] = metadata
        store.costs.append(done)
        if residual:
            _refuse(context, clean, residual)
        for batch, metadata in clean.items():
            context.add_asset_metadata(metadata, partition_key=batch)

    return derived


def _refuse(
    context: dg.AssetExecutionContext, clean: Mapping[str, Mapping[str, Any]], residual: int
) -> None:
    """Fail the run, after telling of the batches in which nothing private was left."""
    for batch, metadata in clean.items():
        context.log_event(
            dg.AssetMaterialization(context.asset_key, partition=batch, metadata=metadata)
        )
    # A failed blocking check would not keep automation from going on; a failure does.
    raise dg.Failure(
        f"private data was still found in {residual} redacted item(s), which are quarantined and "
        "kept out. `mediadex status --failed` lists them; run again for the others.",
        metadata={RESIDUAL: residual},
        allow_retries=False,
    )


def _embeddings(channel: Channel) -> dg.AssetsDefinition:
    spec = _MODELS.spec(channel)
    identity = _MODELS.encoder(channel).identity.key if spec == "builtin" else spec
    return _derived(
        EmbedStep.name_of(channel),
        group="embed",
        kinds={"lancedb", "torch"},
        version=code_version(_CODE["embeddings"], identity),
        description=f"{channel.description} One vector a row, in the table of this channel.",
    )


redacted_media = _derived(
    "redacted_media",
    group="redact",
    kinds={"deltalake", "python"},
    version=code_version(
        *(_CODE[part] for part in ("redacted_media", "detector", "reader")),
        _MODELS.ocr_languages,
        *_MODELS.entities,
    ),
    description="Pictures, documents and texts: text read by OCR, with personal data masked in "
    "text, word boxes and pixels. Everything downstream is made from what is redacted and from "
    "nothing else. An item in which private data is still found fails the batch and is kept out.",
)

keyframes = _derived(
    "keyframes",
    group="redact",
    kinds={"deltalake", "python"},
    version=code_version(
        *(_CODE[part] for part in ("keyframes", "detector", "reader")),
        _MODELS.ocr_languages,
        *_MODELS.entities,
    ),
    description="Frames of videos with their times, each redacted like a picture.",
)

transcripts = _derived(
    "transcripts",
    group="redact",
    kinds={"deltalake", "torch"},
    version=code_version(
        *(_CODE[part] for part in ("transcripts", "detector")),
        _MODELS.speech,
        *_MODELS.vocabulary,
        *_MODELS.entities,
    ),
    description="What is said in sound and video, with times: subtitles where there are any, else "
    "speech recognition. Personal data is masked in the words and silent in the stored sound.",
)

captions = _derived(
    "captions",
    group="enrich",
    kinds={"deltalake", "torch"},
    version=code_version(
        _CODE["captions"],
        _MODELS.captioner().identity.key if _MODELS.caption == "builtin" else _MODELS.caption,
    ),
    description="One sentence for every redacted picture, page and keyframe.",
)

storylines = _derived(
    "storylines",
    group="enrich",
    kinds={"deltalake", "python"},
    version=code_version(_CODE["storylines"]),
    description="What happens in each video, told from the captions of its keyframes in order.",
)

sound_tags = _derived(
    "sound_tags",
    group="enrich",
    kinds={"deltalake", "torch"},
    version=code_version(_CODE["sound_tags"], _MODELS.tags),
    description="Names of what is heard, where the setting sound_tagger names a model for them.",
)

passages = _derived(
    "passages",
    group="embed",
    kinds={"lancedb", "python"},
    version=code_version(_CODE["passages"]),
    description="Every redacted text that stands or is said in the media, or stands beside them, "
    "where BM25 finds it.",
)

embeddings = [_embeddings(channel) for channel in CHANNELS.values()]
