"""The columns of every table. A change here is a change of a contract."""

import pyarrow as pa

_TIME = pa.timestamp("us", tz="UTC")

# Known metadata keys (ImageFolder convention); any other key is kept in `extra`.
TEXT_KEYS = ("title", "description", "alt", "transcript")
ATTRIBUTE_KEYS = (
    "domain",
    "region",
    "usage_rights",
    "consent",
    "consent_expires",
    "owner",
    "business_unit",
    "product_family",
    "published_at",
)
DATE_KEYS = ("consent_expires", "published_at")

ITEMS = pa.schema(
    [
        ("item_id", pa.string()),
        ("batch", pa.string()),
        ("kind", pa.string()),
        ("media_type", pa.string()),
        ("content_hash", pa.string()),
        ("perceptual_hash", pa.string()),
        ("sound_hash", pa.string()),
        ("subtitles", pa.string()),
        ("subtitles_hash", pa.string()),
        ("size", pa.int64()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("duration_s", pa.float64()),
        ("modalities", pa.list_(pa.string())),
        (
            "origins",
            pa.list_(
                pa.struct(
                    [
                        ("uri", pa.string()),
                        ("source", pa.string()),
                        ("file_name", pa.string()),
                        ("fingerprint", pa.string()),
                        ("metadata_hash", pa.string()),
                    ]
                )
            ),
        ),
        *((key, pa.string()) for key in TEXT_KEYS + ATTRIBUTE_KEYS),
        ("tags", pa.list_(pa.string())),
        ("access", pa.list_(pa.string())),
        ("extra", pa.string()),
        ("attributes_hash", pa.string()),
        ("deleted", pa.bool_()),
        ("registered_at", _TIME),
        ("updated_at", _TIME),
    ]
)

SEGMENTS = pa.schema(
    [
        ("key", pa.string()),
        ("item_id", pa.string()),
        ("batch", pa.string()),
        ("segment", pa.string()),
        ("kind", pa.string()),
        ("page", pa.int32()),
        ("start_s", pa.float64()),
        ("end_s", pa.float64()),
        ("derivative", pa.string()),
        ("thumbnail", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("recipe", pa.string()),
    ]
)

TEXTS = pa.schema(
    [
        ("key", pa.string()),
        ("item_id", pa.string()),
        ("batch", pa.string()),
        ("segment", pa.string()),
        ("source", pa.string()),
        ("text", pa.string()),
        ("text_hash", pa.string()),
        ("confidence", pa.float64()),
        ("words", pa.string()),
        ("page", pa.int32()),
        ("start_s", pa.float64()),
        ("end_s", pa.float64()),
        ("language", pa.string()),
        ("model", pa.string()),
        ("recipe", pa.string()),
    ]
)

FINDINGS = pa.schema(
    [
        ("item_id", pa.string()),
        ("batch", pa.string()),
        ("segment", pa.string()),
        ("source", pa.string()),
        ("entity", pa.string()),
        ("score", pa.float64()),
        ("place", pa.string()),
        ("recipe", pa.string()),
    ]
)

OUTCOMES = pa.schema(
    [
        ("key", pa.string()),
        ("item_id", pa.string()),
        ("batch", pa.string()),
        ("step", pa.string()),
        ("status", pa.string()),
        ("error", pa.string()),
        ("reason", pa.string()),
        ("attempts", pa.int32()),
        ("next_try", _TIME),
        ("uri", pa.string()),
        ("recipe", pa.string()),
        ("updated_at", _TIME),
    ]
)

# A log: what became of which release, in the order of `sequence`.
RELEASES = pa.schema(
    [
        ("sequence", pa.int64()),
        ("event", pa.string()),
        ("release", pa.string()),
        ("created_at", _TIME),
        ("manifest", pa.string()),
        ("verdict", pa.string()),
        ("note", pa.string()),
    ]
)

# Erasures. `item_id` is in clear only until the purge; `subject`, `contents` and `places` are
# digests, which are enough to refuse the same item when a scan meets it again.
LEDGER = pa.schema(
    [
        ("sequence", pa.int64()),
        ("event", pa.string()),
        ("subject", pa.string()),
        ("item_id", pa.string()),
        ("contents", pa.list_(pa.string())),
        ("places", pa.list_(pa.string())),
        ("reason", pa.string()),
        ("at", _TIME),
    ]
)

# What work took: rows of one step done in one batch by one run, and the seconds for them.
COSTS = pa.schema(
    [
        ("step", pa.string()),
        ("batch", pa.string()),
        ("model", pa.string()),
        ("device", pa.string()),
        ("rows", pa.int64()),
        ("characters", pa.int64()),
        ("seconds", pa.float64()),
        ("at", _TIME),
    ]
)

PLANS = pa.schema(
    [
        ("plan", pa.string()),
        ("scope", pa.string()),
        ("estimate", pa.string()),
        ("created_at", _TIME),
    ]
)

MIGRATIONS = pa.schema(
    [
        ("number", pa.int32()),
        ("name", pa.string()),
        ("direction", pa.string()),
        ("at", _TIME),
    ]
)

# `request`, `answer`, `results`, `weights`, `trace` and `rights` are JSON. `probes` names, for each
# channel, which of the `vectors` (float32) it was asked with. The lists `candidates` and `scores`,
# and each of `similarities` and `evidence`, go by candidate, these two by `channels` first; NaN
# stands where a channel has nothing of an item.
QUERIES = pa.schema(
    [
        ("query_id", pa.string()),
        ("at", _TIME),
        ("release", pa.string()),
        ("user", pa.string()),
        ("rights", pa.string()),
        ("request", pa.string()),
        ("answer", pa.string()),
        ("results", pa.string()),
        ("trace", pa.string()),
        ("weights", pa.string()),
        ("probes", pa.string()),
        ("vectors", pa.list_(pa.binary())),
        ("channels", pa.list_(pa.string())),
        ("candidates", pa.list_(pa.string())),
        ("scores", pa.list_(pa.float64())),
        ("similarities", pa.list_(pa.list_(pa.float32()))),
        ("evidence", pa.list_(pa.list_(pa.float32()))),
        ("items", pa.list_(pa.string())),
        ("confidence", pa.float64()),
        ("masked", pa.bool_()),
        ("repeats", pa.string()),
    ]
)

FEEDBACK = pa.schema(
    [
        ("query_id", pa.string()),
        ("item_id", pa.string()),
        ("kind", pa.string()),
        ("position", pa.int32()),
        ("user", pa.string()),
        ("at", _TIME),
    ]
)

FACTS: dict[str, pa.Schema] = {
    "items": ITEMS,
    "segments": SEGMENTS,
    "texts": TEXTS,
    "findings": FINDINGS,
    "outcomes": OUTCOMES,
    "releases": RELEASES,
    "ledger": LEDGER,
    "costs": COSTS,
    "plans": PLANS,
    "migrations": MIGRATIONS,
    "queries": QUERIES,
    "feedback": FEEDBACK,
}

# The filterable attributes that every searched row carries, so that filters run before the cut.
ATTRIBUTES = pa.schema(
    [
        ("item_id", pa.string()),
        ("uri", pa.string()),
        ("kind", pa.string()),
        ("media_type", pa.string()),
        ("title", pa.string()),
        *((key, pa.string()) for key in ATTRIBUTE_KEYS),
        ("tags", pa.list_(pa.string())),
        ("access", pa.list_(pa.string())),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("duration_s", pa.float64()),
        ("modalities", pa.list_(pa.string())),
        ("size", pa.int64()),
        ("extra", pa.json_()),
    ]
)

_KEY = pa.field(
    "key", pa.string(), nullable=False, metadata={"lance-schema:unenforced-primary-key": "true"}
)
_PLACE = pa.schema(
    [
        ("batch", pa.string()),
        ("segment", pa.string()),
        ("page", pa.int32()),
        ("start_s", pa.float64()),
        ("end_s", pa.float64()),
        ("recipe", pa.string()),
        ("attributes_hash", pa.string()),
    ]
)


def vector_schema(dimension: int) -> pa.Schema:
    """Schema of a channel's LanceDB table with vectors of the given width (float32)."""
    vector = pa.field("vector", pa.list_(pa.float32(), dimension))
    return pa.schema([_KEY, *_PLACE, pa.field("identity", pa.string()), *ATTRIBUTES, vector])


def passage_schema() -> pa.Schema:
    """Schema of the LanceDB table of redacted passages, searched by BM25."""
    text = [pa.field("source", pa.string()), pa.field("text", pa.string())]
    return pa.schema([_KEY, *_PLACE, *ATTRIBUTES, *text])
