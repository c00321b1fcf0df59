"""A second look at the best results, by reading their passages beside the query."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import pairwise
from typing import Protocol

from pipelines.errors import ModelUnavailable
from pipelines.models.hub import loading, pick_device
from pipelines.search.fusion.scores import Scored, in_order
from pipelines.search.words import terms

RERANK = "rerank"
"""The part of a score that re-ranking adds."""
LEXICAL = "lexical"
CROSS_ENCODER = "cross-encoder:NAME_OR_PATH"

MOST_READ = 50
"""So many items are read, the best, however many are asked for: so pages go on from each other."""

_FEW = 5
_ALPHA = 0.3
_CLOSENESS_SHARE = 0.3


class Reranker(Protocol):
    """Tells how well passages answer a query."""

    def score(self, query_text: str, passages: Sequence[str]) -> list[float]:
        """Return 0..1 for each passage."""
        ...


class LexicalReranker:
    """How many of the query's words a passage holds, rare ones first, and how close together.

    Coverage is the share of the words' inverse document frequencies (Robertson and Sparck Jones
    1976) that is matched; closeness the smallest distance between two of them (Tao and Zhai 2007),
    scaled to 0..1. Frequencies are those among the passages given.
    """

    def score(self, query_text: str, passages: Sequence[str]) -> list[float]:
        """As in `Reranker`; 0 for a query whose words are all stop words."""
        asked = set(terms(query_text))
        texts = [terms(passage) for passage in passages]
        holding = Counter(term for text in texts for term in asked.intersection(text))
        idf = {
            term: math.log(1 + (len(texts) - holding[term] + 0.5) / (holding[term] + 0.5))
            for term in asked
        }
        total = sum(idf.values())
        if not total:
            return [0.0] * len(texts)
        scores = []
        for text in texts:
            held = asked.intersection(text)
            coverage = sum(idf[term] for term in sorted(held)) / total
            closeness = _closeness(text, held) if len(asked) > 1 else 1.0
            scores.append(coverage * (1 - _CLOSENESS_SHARE + _CLOSENESS_SHARE * closeness))
        return scores


class CrossEncoderReranker:
    """A model that reads query and passage together (Nogueira and Cho 2019), by name or folder.

    Its weights must be safetensors, and it must put out one number. Raises `ModelUnavailable`.
    """

    def __init__(self, name_or_path: str) -> None:
        from sentence_transformers import CrossEncoder

        with loading(f"cross-encoder {name_or_path}"):
            self._model = CrossEncoder(
                name_or_path,
                device=pick_device(),
                trust_remote_code=False,
                model_kwargs={"use_safetensors": True},
            )
            if self._model.num_labels != 1:
                raise ValueError(f"it puts out {self._model.num_labels} numbers, not one")

    def score(self, query_text: str, passages: Sequence[str]) -> list[float]:
        """As in `Reranker`: the sigmoid of what the model puts out."""
        import torch

        if not passages:
            return []
        pairs = [(query_text, passage) for passage in passages]
        scores = self._model.predict(
            pairs, activation_fn=torch.nn.Sigmoid(), show_progress_bar=False
        )
        return [float(score) for score in scores]


@cache
def reranker(spec: str) -> Reranker:
    """Return the re-ranker that `spec` (`LEXICAL` or `CROSS_ENCODER`) names.

    Raises `ModelUnavailable`.
    """
    match spec.partition(":"):
        case ("lexical", "", ""):
            return LexicalReranker()
        case ("cross-encoder", _, name) if name:
            return CrossEncoderReranker(name)
    raise ModelUnavailable(f"{spec!r} names no re-ranker: write {LEXICAL} or {CROSS_ENCODER}")


def item_scores(
    judge: Reranker, query_text: str, passages: Mapping[str, Sequence[str]]
) -> dict[str, float]:
    """Return the score of the best passage of each item that has any."""
    pairs = [(item_id, text) for item_id, texts in passages.items() for text in texts]
    best: dict[str, float] = {}
    scores = judge.score(query_text, [text for _, text in pairs])
    for (item_id, _), score in zip(pairs, scores, strict=True):
        best[item_id] = max(score, best.get(item_id, 0.0))
    return best


def rerank(
    ranked: Sequence[Scored], scores: Mapping[str, float], share: float, depth: int = MOST_READ
) -> list[Scored]:
    """Blend the best `depth` fused scores with a re-ranker's (item to 0..1), which get a `share`.

    Five results or fewer stay as they are. An item without a passage cannot be read: it gets the
    mean score of those that can, which neither lifts it above what was read and found to fit nor
    drops it below what was read and found not to; among themselves, such items keep their order.
    What follows the best keeps its order below them, with what the fused scores count for.
    """
    best, rest = ranked[:depth], ranked[depth:]
    known = [scores[entry.item_id] for entry in best if entry.item_id in scores]
    if len(ranked) <= _FEW or not known or share <= 0:
        return list(ranked)
    usual = sum(known) / len(known)
    blended = [
        Scored.of(
            entry.item_id,
            _scaled(entry, 1 - share) | {RERANK: share * scores.get(entry.item_id, usual)},
        )
        for entry in best
    ]
    below = (Scored.of(entry.item_id, _scaled(entry, 1 - share)) for entry in rest)
    return [*in_order(blended), *below]


def _scaled(entry: Scored, by: float) -> dict[str, float]:
    return {name: by * part for name, part in entry.channels.items()}


def _closeness(text: Sequence[str], held: set[str]) -> float:
    """Return 1 where two different words of the query stand side by side, 0 with fewer than two."""
    places = [(place, term) for place, term in enumerate(text) if term in held]
    nearest = min(
        (right - left for (left, one), (right, other) in pairwise(places) if one != other),
        default=math.inf,
    )
    low = math.log(_ALPHA)
    return (math.log(_ALPHA + math.exp(-nearest)) - low) / (math.log(_ALPHA + math.exp(-1)) - low)
