"""What is answered, typed: results and why they rank so, items, releases, the server's state."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class Segment(BaseModel):
    """The part of an item that matched best: a page, a time span, a chunk of text."""

    segment: str
    page: int | None
    start_s: float | None
    end_s: float | None
    link: str | None = Field(description="The item with the fragment #t=12.5,15 or #page=3.")


class Result(BaseModel):
    """One item. The shares in `channels` sum to `score`."""

    item_id: str
    uri: str
    title: str | None
    kind: str
    score: float
    channels: dict[str, float] = Field(description="What each channel adds to the score.")
    top_channel: str | None = Field(None, description="The channel that adds most.")
    matched: list[str] = Field([], description="Words of the query that its passage holds.")
    matched_in: Segment | None = Field(None, description="The part that this passage is of.")
    segment: Segment | None
    thumbnail: str | None = Field(None, description="Where a small picture of it is.")
    play: str | None = Field(None, description="Where its moment can be heard or seen.")
    live: dict[str, Any] = Field({}, description="What is true now, such as price, availability.")


class Asked(BaseModel):
    """What the query was taken for."""

    words: str | None = Field(description="Where its words came from: text, transcript, caption …")
    text: str | None = Field(None, description="The words, normalised.")
    read: str | None = Field(None, description="Text read in the image.")
    reworded: str | None = Field(None, description="The words that were tried where these failed.")
    sound: dict[str, float] | None = Field(description="From where to where it was listened to, s.")


class Timing(BaseModel):
    """A step of the query: when it began after the query did, and how long it took."""

    step: str
    at_ms: float = 0.0
    ms: float
    parts: dict[str, float] = {}


class Answer(BaseModel):
    """Ranked items of one release, the weights they rank by, and what could not be asked."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "query_id": "0f9c1c2c5f7f4f0c8a3f0d3b5a6f7e21",
                    "release": "r000012",
                    "profile": "default",
                    "plan": "parallel",
                    "asked": {"words": "text", "text": "storm umbrella", "sound": None},
                    "degraded": [],
                    "widened": False,
                    "no_match": None,
                    "cached": None,
                    "trace": [
                        {"step": "encode", "at_ms": 0.2, "ms": 12.1, "parts": {"visual": 8.0}}
                    ],
                    "results": [
                        {
                            "item_id": "3b1f0a77c9e2d514",
                            "uri": "file:///media/umbrella.jpg",
                            "title": "Storm umbrella",
                            "kind": "image",
                            "score": 0.62,
                            "channels": {"visual": 0.4, "meta": 0.22},
                            "top_channel": "visual",
                            "matched": ["storm", "umbrella"],
                            "segment": None,
                            "thumbnail": None,
                            "play": None,
                            "live": {"price": 24.9},
                        }
                    ],
                }
            ]
        }
    )

    query_id: str
    release: str
    profile: str
    plan: str | None = None
    asked: Asked
    degraded: list[dict[str, str]] = Field(
        description="The `channel` or `input` that is missing, and the `reason`."
    )
    widened: bool = Field(False, description="Whether more was looked at to fill the answer.")
    skipped: list[str] = Field(
        [], description="Channels that the plan `cheap_first` did not have to ask."
    )
    domains: list[str] | None = Field(
        None, description="Those asked by the plan `by_domain`, beside items without; null for all."
    )
    no_match: str | None = Field(None, description="Why nothing is a good match.")
    cached: str | None = Field(None, description="The cache that the answer comes from.")
    engine: str | None = Field(None, description="What searched: the mirror, or the tables.")
    trace: list[Timing] = []
    facets: dict[str, dict[str, int]] | None = Field(
        None, description="How often values occur in the first ranking, when asked for."
    )
    hops: list[dict[str, Any]] | None = Field(None, description="Where each hop led.")
    results: list[Result]


class Sentence(BaseModel):
    """A sentence, and the numbers of what it rests on."""

    text: str
    citations: list[int]


class Citation(BaseModel):
    """Where an item says so, word for word."""

    number: int
    item_id: str
    uri: str
    title: str | None
    kind: str
    source: str = Field(description="What the quote comes from: ocr, body, meta, transcript.")
    quote: str
    segment: str
    page: int | None
    start_s: float | None
    end_s: float | None
    link: str = Field(description="The item, at the page or moment if there is one.")
    thumbnail: str | None = None
    play: str | None = None


class WrittenAnswer(BaseModel):
    """An answer in sentences that cite what they rest on; without any, the reason."""

    query_id: str = Field(description="The query that found what was read.")
    release: str
    answer: str | None = Field(description="The sentences, a line each; the best one first.")
    sentences: list[Sentence]
    citations: list[Citation]
    no_answer: str | None = Field(description="Why there is no answer.")
    degraded: list[dict[str, str]] = []
    trace: list[Timing] = []


class Pictured(BaseModel):
    """One picture of a set; an upload has no item."""

    number: int
    item_id: str | None
    uri: str | None
    title: str | None
    kind: str | None
    caption: str | None
    text: str | None = Field(description="What is read in it, without private data.")
    thumbnail: str | None = None


class Description(BaseModel):
    """A set of pictures in sentences that cite the pictures that they speak of."""

    release: str
    description: str
    sentences: list[Sentence]
    pictures: list[Pictured]
    degraded: list[dict[str, str]] = []
    trace: list[Timing] = []


class Region(BaseModel):
    """A word that matched, in a picture or page: left, top, width and height as shares of it."""

    word: str
    segment: str
    box: tuple[float, float, float, float]


class Ranked(Result):
    """A result of the past, and its place."""

    rank: int
    regions: list[Region] = Field([], description="Where its matched words stand in the picture.")


class Candidate(BaseModel):
    """An item that was considered: what channels measured, and how much that said (0 to 1)."""

    item_id: str
    score: float
    similarity: dict[str, float]
    evidence: dict[str, float]


class Explanation(BaseModel):
    """A query of the past: what it was answered with, and what else was considered."""

    query_id: str
    at: str
    release: str
    profile: str
    plan: str | None = None
    asked: Asked
    degraded: list[dict[str, str]] = []
    widened: bool = False
    skipped: list[str] = []
    domains: list[str] | None = None
    no_match: str | None = None
    cached: str | None = None
    repeats: str | None = Field(
        None, description="The query of the caller whose answer was given again."
    )
    hops: list[dict[str, Any]] | None = Field(None, description="Where each hop led.")
    masked: bool = Field(description="Whether private data was taken out of what was asked.")
    confidence: float | None = None
    weights: dict[str, float]
    trace: list[Timing]
    adds_up: bool = Field(description="Whether the shares of every score sum to it.")
    hidden: int = Field(description="How many of its items must not be shown now.")
    results: list[Ranked]
    candidates: list[Candidate]


class Replay(BaseModel):
    """How an answer given again by the same release differs from the one of then."""

    query_id: str
    release: str
    same_release: bool
    same_ids: bool
    same_scores: bool
    max_difference: float
    missing: int
    added: int
    masked: bool


class Origin(BaseModel):
    """A place where an item was found."""

    uri: str
    source: str | None
    file_name: str | None


class ItemSegment(BaseModel):
    """A part of an item, and where its redacted derivative and small picture are."""

    segment: str
    kind: str | None
    page: int | None
    start_s: float | None
    end_s: float | None
    width: int | None = None
    height: int | None = None
    recipe: str | None = Field(None, description="The hash of everything that it was made from.")
    derivative: str | None
    thumbnail: str | None


class Item(BaseModel):
    """An item: its attributes, where it comes from, its parts, and what is true of it now."""

    item_id: str
    uri: str | None
    title: str | None
    kind: str | None
    attributes: dict[str, Any]
    origins: list[Origin]
    content_hash: str | None
    registered_at: str | None = None
    updated_at: str | None = None
    release: str
    segments: list[ItemSegment]
    live: dict[str, Any] = {}


class Release(BaseModel):
    """One line of the log of releases."""

    release: str
    created_at: str
    state: str
    items: int
    tables: Any
    models: dict[str, Any]
    verdict: list[dict[str, Any]]
    evaluation: Any


class Live(BaseModel):
    """The process runs."""

    status: Literal["ok"] = "ok"


class Ready(Live):
    """There is a release to search, and it is open."""

    release: str
    storage: Literal["replica", "memory"] | None = Field(
        None, description="What answers while the storage cannot be read."
    )
