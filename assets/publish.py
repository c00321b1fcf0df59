"""The release: one manifest that names every table's version and every model's identity."""

from typing import Any

import dagster as dg
from pydantic import Field

from assets.common import OWNERS
from pipelines.channels import CHANNELS
from pipelines.releases.manifest import ChannelVersion, Manifest, Verdict
from pipelines.releases.publish import Publication, publish
from resources.home import HomeResource


class ReleaseConfig(dg.Config):
    """What to release."""

    hold: bool = Field(False, description="Make a candidate that waits for `mediadex promote`.")
    encoders: dict[str, str] = Field(
        {}, description="Encoders of single channels, where they differ from the settings."
    )


@dg.asset(
    group_name="publish",
    kinds={"lancedb", "deltalake"},
    owners=OWNERS,
    deps=["items", "passages", *(f"{name}_embeddings" for name in CHANNELS)],
    code_version="2",
    description="What search reads: an immutable manifest of table versions and model identities. "
    "It serves once the gates of the home's policy have passed it; with nothing changed the last "
    "release stands.",
)
def release(home: HomeResource, config: ReleaseConfig) -> dg.MaterializeResult:
    """Index what grew, ask the gates about the present state of all tables, and promote it."""
    encoders = home.models().with_encoders(config.encoders).encoders()
    published = publish(home.store(), encoders, home.settings(), config.hold)
    metadata = _metadata(published)
    if published.event == "refused":
        raise dg.Failure(
            f"{published.manifest.release} was refused, the last release goes on serving: "
            f"{published.verdict.reason()}",
            metadata=metadata,
            allow_retries=False,
        )
    return dg.MaterializeResult(metadata=metadata)


def _metadata(published: Publication) -> dict[str, Any]:
    manifest, verdict = published.manifest, published.verdict
    return {
        "release": manifest.release,
        "new": published.new,
        "event": published.event,
        "items": manifest.items,
        **{f"rows_{name}": version.rows for name, version in manifest.channels.items()},
        **{
            f"coverage_{name}": round(version.items / manifest.items, 4)
            for name, version in manifest.channels.items()
            if manifest.items
        },
        "passages": manifest.passages.rows if manifest.passages else 0,
        **{
            f"gate_{gate.name}": round(gate.value, 4)
            for gate in verdict.gates
            if gate.value is not None
        },
        "verdict": _verdict(verdict),
        "notes": dg.MetadataValue.md(_notes(published)),
        "manifest": dg.MetadataValue.json(manifest.model_dump(mode="json")),
    }


def _verdict(verdict: Verdict) -> dg.MetadataValue:
    answers = {True: "passed", False: "refused", None: "not asked"}
    columns = {"gate": "string", "answer": "string", "value": "float", "limit": "float"}
    return dg.MetadataValue.table(
        [
            dg.TableRecord(
                {
                    "gate": gate.name,
                    "answer": answers[gate.passed],
                    "value": gate.value,
                    "limit": gate.limit,
                    "detail": gate.detail,
                }
            )
            for gate in verdict.gates
        ],
        schema=dg.TableSchema(
            [dg.TableColumn(name, kind) for name, kind in {**columns, "detail": "string"}.items()]
        ),
    )


def _notes(published: Publication) -> str:
    manifest = published.manifest
    lines = [
        f"### Release {manifest.release}: {published.event}",
        "",
        f"{manifest.items} items, made {manifest.created_at:%Y-%m-%d %H:%M} UTC.",
        "",
        "| channel | rows | items | model | table, version | vector index |",
        "| --- | ---: | ---: | --- | --- | --- |",
        *_channels(manifest),
    ]
    return "\n".join(lines)


def _asked(version: ChannelVersion) -> str:
    indexed = f"nprobes {version.nprobes}, refine {version.refine}"
    return indexed if version.indexed else "exact scan"


def _channels(manifest: Manifest) -> list[str]:
    return [
        f"| {name} | {version.rows} | {version.items} | {version.identity['name']} "
        f"| {version.table}, {version.version} "
        f"| {_asked(version)} |"
        for name, version in manifest.channels.items()
    ]
