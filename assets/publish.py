"""The release: one manifest that names every table's version and every model's identity."""

import dagster as dg

from assets.common import OWNERS
from pipelines.channels import CHANNELS
from pipelines.releases import Manifest, publish
from resources.home import HomeResource


@dg.asset(
    group_name="publish",
    kinds={"lancedb", "deltalake"},
    owners=OWNERS,
    deps=["items", "passages", *(f"{name}_embeddings" for name in CHANNELS)],
    code_version="1",
    description="What search reads: an immutable manifest of table versions and model identities. "
    "With nothing changed the last release stands.",
)
def release(home: HomeResource) -> dg.MaterializeResult:
    """Index what grew and publish the present state of all tables."""
    manifest, new = publish(home.store(), home.models().encoders(), home.settings().index_rows)
    return dg.MaterializeResult(
        metadata={
            "release": manifest.release,
            "new": new,
            "items": manifest.items,
            **{f"rows_{name}": version.rows for name, version in manifest.channels.items()},
            **{
                f"coverage_{name}": round(version.items / manifest.items, 4)
                for name, version in manifest.channels.items()
            },
            "passages": manifest.passages.rows if manifest.passages else 0,
            "notes": dg.MetadataValue.md(_notes(manifest)),
            "manifest": dg.MetadataValue.json(manifest.model_dump(mode="json")),
        }
    )


def _notes(manifest: Manifest) -> str:
    lines = [
        f"### Release {manifest.release}",
        "",
        f"{manifest.items} items, made {manifest.created_at:%Y-%m-%d %H:%M} UTC.",
        "",
        "| channel | rows | items | model | table, version | vector index |",
        "| --- | ---: | ---: | --- | --- | --- |",
        *(
            f"| {name} | {version.rows} | {version.items} | {version.identity['name']} "
            f"| {version.table}, {version.version} "
            f"| {'IVF_RQ' if version.indexed else 'exact scan'} |"
            for name, version in manifest.channels.items()
        ),
    ]
    return "\n".join(lines)
