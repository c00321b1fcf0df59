"""A record as a row of the table `queries`, and back."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from pydantic_core import from_json, to_json

from pipelines.search.asked.encoding import Probe
from pipelines.search.journal.records import Candidates, Record


def row_of(record: Record) -> dict[str, Any]:
    """Write a record as a row of the table `queries`."""
    vectors: dict[bytes, int] = {}
    probes = {
        channel: {
            "vector": vectors.setdefault(
                np.asarray(probe.vector, np.float32).tobytes(), len(vectors)
            ),
            "medium": probe.medium,
        }
        for channel, probe in record.probes.items()
    }
    found = record.candidates
    return {
        "query_id": record.query_id,
        "at": record.at,
        "release": record.release,
        "user": record.user,
        "rights": None if record.rights is None else _json(record.rights),
        "request": _json(record.request),
        "answer": _json(record.answer),
        "results": _json(record.results),
        "trace": _json(record.trace),
        "weights": _json(record.weights),
        "probes": _json(probes),
        "vectors": list(vectors),
        "channels": found.channels,
        "candidates": found.items,
        "scores": found.scores,
        "similarities": list(found.similarities),
        "evidence": list(found.evidence),
        "items": sorted(record.items),
        "confidence": record.confidence,
        "masked": record.masked,
        "repeats": record.repeats,
    }


def record_of(row: Mapping[str, Any]) -> Record:
    """Read a record from its row."""
    vectors = [np.frombuffer(each, np.float32) for each in row["vectors"]]
    shape = (len(row["channels"]), len(row["candidates"]))
    return Record(
        query_id=row["query_id"],
        at=row["at"],
        release=row["release"],
        user=row["user"],
        rights=None if row["rights"] is None else from_json(row["rights"]),
        request=_request(row["request"]),
        answer=from_json(row["answer"]),
        results=from_json(row["results"]),
        trace=from_json(row["trace"]),
        weights=from_json(row["weights"]),
        probes={
            channel: Probe(vectors[each["vector"]], each["medium"])
            for channel, each in from_json(row["probes"]).items()
        },
        candidates=Candidates(
            tuple(row["channels"]),
            tuple(row["candidates"]),
            tuple(row["scores"]),
            np.array(row["similarities"], np.float32).reshape(shape),
            np.array(row["evidence"], np.float32).reshape(shape),
        ),
        confidence=row["confidence"],
        masked=row["masked"],
        repeats=row["repeats"],
    )


def _request(written: str) -> dict[str, Any]:
    """Read what was asked; older versions wrote one item of `like` without a list."""
    request = from_json(written)
    like = request["like"]
    return request | {"like": [like] if isinstance(like, str) else like}


def _json(value: Any) -> str:
    return to_json(value, fallback=list).decode()
