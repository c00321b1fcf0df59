"""What is asked of a release before it is served: `policy.toml` in the home, or these defaults."""

import tomllib
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipelines.errors import BadInput
from pipelines.settings import Settings

FILE = "policy.toml"


Modality = Literal["text", "image", "audio", "video"]
Share = Annotated[float, Field(ge=0, le=1)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Coverage(_Strict):
    """Share of the items that should be found in a channel and are, the worst channel counting.

    `few` items may be missing whatever their share, so that one bad file does not hold up a small
    home; but a channel that has nothing of what it should have is refused.
    """

    minimum: float = Field(0.995, ge=0, le=1)
    few: int = Field(3, ge=0)


class AnnRecall(_Strict):
    """Recall@10 of a vector index against an exact scan, on `sample` of the table's vectors."""

    minimum: float = Field(0.95, ge=0, le=1)
    sample: int = Field(50, ge=1, le=10_000)


class Evaluation(_Strict):
    """Labelled queries (a path, relative to the home), and how far `metric` may fall.

    `metric` is one of the fused ranking, compared with the serving release on the same queries.
    `floors` are what it has to reach by the modality of what is to be found, whatever is asked
    with: `text` (documents too), `image`, `audio` and `video`. One weak modality refuses a release,
    and so does one that has a floor and no query. Without `queries` nothing of this is asked.
    """

    queries: str = ""
    metric: str = "ndcg@10"
    tolerance: float = Field(0.02, ge=0, le=1)
    floors: dict[Modality, Share] = {}


class Policy(_Strict):
    """The policy file. Its keys are these fields; one that is unknown is an error.

    `gates` are the names of those asked, in this order: `identities` (every vector is of the model
    that the release names), `residual` (nothing of an item in which private data was still found
    after redaction), `coverage`, `ann_recall` and `evaluation`. The last three have a table each:

        gates = ["identities", "residual", "coverage", "ann_recall", "evaluation"]

        [coverage]
        minimum = 0.995
        few = 3

        [ann_recall]
        minimum = 0.95
        sample = 50

        [evaluation]
        queries = "queries.jsonl"
        metric = "ndcg@10"
        tolerance = 0.02
        floors = { image = 0.7, audio = 0.7 }
    """

    gates: tuple[str, ...] = ("identities", "residual", "coverage", "ann_recall", "evaluation")
    coverage: Coverage = Coverage()
    ann_recall: AnnRecall = AnnRecall()
    evaluation: Evaluation = Evaluation()


def read_policy(settings: Settings) -> Policy:
    """Read the home's policy; the defaults without a file. Raises BadInput, naming the key."""
    path = settings.home / FILE
    if not path.exists():
        return Policy()
    try:
        return Policy.model_validate(tomllib.loads(path.read_text()))
    except tomllib.TOMLDecodeError as error:
        raise BadInput(f"{path} is not valid TOML: {error}") from error
    except ValidationError as error:
        wrong = error.errors()[0]
        key = ".".join(map(str, wrong["loc"]))
        raise BadInput(f"{path}, {key}: {wrong['msg']}") from error
