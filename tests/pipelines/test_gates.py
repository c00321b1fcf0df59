"""Gates: what each refuses, by what number, and what the policy file changes."""

import json
from pathlib import Path
from typing import Any

import pytest
from toy import CHOICES, MODEL, OTHER, Toy, catalog, erase, fill, item_id, rows, vector

from pipelines import outcomes
from pipelines.errors import BadInput, ResidualFinding
from pipelines.models import factory
from pipelines.releases import gates
from pipelines.releases.candidate import build
from pipelines.releases.manifest import GateResult, Manifest, Verdict
from pipelines.releases.publish import publish
from pipelines.search import retrieval
from pipelines.settings import Settings
from pipelines.store import Store


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path, index_rows=300)


@pytest.fixture
def store(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setattr(factory, "image_encoder", Toy)
    return Store(settings.root)


def policy(settings: Settings, text: str) -> None:
    (settings.home / "policy.toml").write_text(text)


def ask(store: Store, settings: Settings, serving: Manifest | None = None) -> Verdict:
    return gates.ask(build(store, CHOICES, settings.index_rows, {}), serving, store, settings)


def gate(verdict: Verdict, name: str) -> GateResult:
    return next(each for each in verdict.gates if each.name == name)


def pictures(store: Store, numbers: range) -> None:
    """Add what redaction leaves of pictures."""
    names = [item_id(number) for number in numbers]
    store.segments.append(
        [
            {"key": f"{name}#image", "item_id": name, "segment": "image", "kind": "image"}
            | {"derivative": "d"}
            for name in names
        ]
    )


def captions(store: Store, numbers: range, text: str) -> None:
    store.texts.append(
        [
            {"key": f"{item_id(n)}@caption", "item_id": item_id(n), "source": "caption"}
            | {"text": text}
            for n in numbers
        ]
    )


def end(store: Store, step: str, number: int, status: str, error: str | None = None) -> None:
    row = outcomes.outcome(item_id(number), step, status, "r", item_id=item_id(number), error=error)
    outcomes.record(store.outcomes, step, [row])


def test_a_channel_that_should_be_there_and_is_not_is_named(
    store: Store, settings: Settings
) -> None:
    fill(store, range(8))
    pictures(store, range(8))
    refused = gate(ask(store, settings), "coverage")
    assert (refused.passed, refused.value, refused.limit) == (False, 0.0, 0.995)
    assert "caption 0.0 % of 8 items" in refused.detail and "visual" not in refused.detail

    captions(store, range(8), "")
    assert gate(ask(store, settings), "coverage").passed, "an empty caption needs no vector"


def test_failed_items_are_missing_and_refused_ones_are_not(
    store: Store, settings: Settings
) -> None:
    fill(store, range(8))
    catalog(store, range(8, 10))
    pictures(store, range(10))
    captions(store, range(10), "")
    end(store, "visual_embeddings", 8, "quarantined")
    end(store, "redacted_media", 9, "skipped")
    assert gate(ask(store, settings), "coverage").value == 1.0
    end(store, "visual_embeddings", 8, "failed")
    assert gate(ask(store, settings), "coverage").value == pytest.approx(8 / 9)
    assert gate(ask(store, settings), "coverage").passed, "one bad file holds up nobody"
    policy(settings, "[coverage]\nfew = 1")
    end(store, "visual_embeddings", 7, "failed")
    refused = gate(ask(store, settings), "coverage")
    assert not refused.passed and refused.value == pytest.approx(7 / 9), "its row is an old one"
    policy(settings, "[coverage]\nminimum = 0.7")
    assert gate(ask(store, settings), "coverage").passed


def test_pictures_that_failed_redaction_are_missing_where_pictures_are_looked_at(
    store: Store, settings: Settings
) -> None:
    fill(store, range(8))
    pictures(store, range(8))
    captions(store, range(8), "")
    store.items.append([{"item_id": "note", "kind": "text", "origins": [], "deleted": False}])
    store.items.append([{"item_id": item_id(8), "kind": "image", "origins": [], "deleted": False}])
    for name in ("note", item_id(8)):
        row = outcomes.outcome(name, "redacted_media", "failed", "r", item_id=name)
        outcomes.record(store.outcomes, "redacted_media", [row])
    detail = gate(ask(store, settings), "coverage").detail
    assert "caption 0.0 % of 1 items" in detail and "ocr 0.0 % of 2 items" in detail


def test_items_that_changed_after_a_candidate_was_made_do_not_count_against_it(
    store: Store, settings: Settings
) -> None:
    fill(store, range(4))
    pictures(store, range(4))
    captions(store, range(4), "")
    candidate = build(store, CHOICES, settings.index_rows, {})
    catalog(store, range(9, 10))
    pictures(store, range(9, 10))
    assert gate(gates.ask(candidate, None, store, settings), "coverage").passed
    policy(settings, "[coverage]\nfew = 0")
    assert not gate(ask(store, settings), "coverage").passed


def test_vectors_of_another_model_are_refused(store: Store, settings: Settings) -> None:
    fill(store, range(4))
    assert gate(ask(store, settings), "identities").passed
    store.channel("visual", MODEL).upsert(rows([4], OTHER))
    refused = gate(ask(store, settings), "identities")
    assert not refused.passed and refused.detail == "visual: 1 of 5 rows are of another model"
    store.channel("visual", MODEL).upsert([*rows([4]), rows([5])[0] | {"identity": None}])
    assert "1 of 6 rows" in gate(ask(store, settings), "identities").detail

    candidate = build(store, CHOICES, settings.index_rows, {})
    store.channel("visual", OTHER).upsert(rows(range(2)))
    other = {"table": store.channel("visual", OTHER).name, "version": 2}
    changed = {"visual": candidate.channels["visual"].model_copy(update=other)}
    candidate = candidate.model_copy(update={"channels": changed})
    refused = gate(gates.ask(candidate, None, store, settings), "identities")
    assert not refused.passed and refused.detail.endswith("is a table of another model")


def test_what_leaked_may_be_nowhere(store: Store, settings: Settings) -> None:
    fill(store, range(4))
    end(store, "redacted_media", 2, "quarantined", ResidualFinding.__name__)
    refused = gate(ask(store, settings), "residual")
    assert (refused.passed, refused.value) == (False, 1)
    assert "1 rows in passages" in refused.detail and "1 rows in visual_" in refused.detail

    store.channel("visual", MODEL).remove([f"{item_id(2)}#image"])
    store.passages.remove([f"{item_id(2)}#image"])
    assert gate(ask(store, settings), "residual").passed
    row = {"key": "k", "item_id": item_id(2), "segment": "image", "source": "ocr", "text": "x"}
    store.texts.append([row])
    assert gate(ask(store, settings), "residual").detail.endswith("1 rows in texts")


def test_an_index_that_finds_too_little_is_refused(
    store: Store, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(store, range(200))
    exact = gate(ask(store, settings), "ann_recall")
    assert exact.passed and exact.value is None and exact.detail == "visual is scanned exactly"
    fill(store, range(200, 1500))
    good = gate(ask(store, settings), "ann_recall")
    assert good.passed and good.value is not None and good.value >= 0.95
    assert gate(ask(store, settings), "ann_recall") == good, "the sample is fixed"
    monkeypatch.setattr(retrieval, "CANDIDATES", 10)
    poor = gate(ask(store, settings), "ann_recall")
    assert poor.passed is False and poor.value is not None and poor.value < good.value
    assert f"visual {poor.value:.3f}" in poor.detail


def test_equal_vectors_are_no_misses(store: Store, settings: Settings) -> None:
    fill(store, range(400))
    table = store.channel("visual", MODEL)
    table.upsert([row | {"vector": vector(1)} for row in rows(range(100, 400))])
    result = gate(ask(store, settings), "ann_recall")
    assert result.value is not None and result.value >= 0.95


def labelled(settings: Settings, numbers: range) -> None:
    lines = [json.dumps({"query": str(n), "relevant": {item_id(n): 1}}) for n in numbers]
    (settings.home / "queries.jsonl").write_text("\n".join(lines))


def test_labelled_queries_compare_the_candidate_with_what_serves(
    store: Store, settings: Settings
) -> None:
    fill(store, range(30))
    not_asked = gate(ask(store, settings), "evaluation")
    assert not_asked.passed is None and "no labelled queries" in not_asked.detail

    policy(settings, '[evaluation]\nqueries = "queries.jsonl"\nmetric = "precision@1"')
    labelled(settings, range(10))
    first = publish(store, CHOICES, settings)
    asked = gate(first.verdict, "evaluation")
    assert asked.passed and asked.value == 1.0 and "nothing serves yet" in asked.detail
    assert first.verdict.metrics["fused"]["recall@10"] == 1.0

    table = store.channel("visual", MODEL)
    table.upsert([row | {"vector": vector(500)} for row in rows(range(3))])
    worse = publish(store, CHOICES, settings)
    refused = gate(worse.verdict, "evaluation")
    assert worse.event == "refused" and refused.value == pytest.approx(0.7)
    assert refused.limit == pytest.approx(0.98)
    assert "precision@1 0.700 on 10 queries; r000001 has 1.000" in refused.detail

    erase(store, *(item_id(n) for n in range(3)))
    assert publish(store, CHOICES, settings).event == "promoted", "both miss what was erased"


def test_one_weak_modality_refuses_a_release_by_name_and_number(
    store: Store, settings: Settings
) -> None:
    fill(store, range(30))
    store.items.append(
        [{"item_id": f"talk-{n}", "kind": "audio", "origins": [], "deleted": False} for n in (1, 2)]
    )
    lines = [{"query": str(n), "relevant": {item_id(n): 1}} for n in range(8)]
    lines += [{"query": str(n), "relevant": {f"talk-{n}": 1}} for n in (1, 2)]
    (settings.home / "queries.jsonl").write_text("\n".join(map(json.dumps, lines)))
    named = '[evaluation]\nqueries = "queries.jsonl"\n'

    policy(settings, f"{named}floors = {{ image = 0.9 }}")
    assert gate(ask(store, settings), "evaluation").passed, "nothing is asked of talks"
    policy(settings, f"{named}floors = {{ image = 0.9, audio = 0.7 }}")
    refused = publish(store, CHOICES, settings)
    told = gate(refused.verdict, "evaluation")
    assert refused.event == "refused" and (told.value, told.limit) == (0.0, 0.7)
    assert told.detail == "ndcg@10 of audio 0.000 on 2 queries, below 0.7"
    assert refused.verdict.metrics["fused"]["ndcg@10"] == pytest.approx(0.8)

    policy(settings, f"{named}floors = {{ video = 0.5 }}")
    told = gate(ask(store, settings), "evaluation")
    assert told.passed is False and told.value is None
    assert "video has no labelled query" in told.detail
    policy(settings, f"{named}floors = {{ smell = 0.5 }}")
    with pytest.raises(BadInput, match=r"evaluation\.floors\.smell"):
        ask(store, settings)


def test_gates_that_the_policy_leaves_out_are_shown_as_not_asked(
    store: Store, settings: Settings
) -> None:
    fill(store, range(4))
    store.channel("visual", MODEL).upsert(rows([4], OTHER))
    policy(settings, 'gates = ["residual"]')
    verdict = ask(store, settings)
    assert verdict.passed and verdict.gates[0].name == "residual"
    assert {each.name for each in verdict.gates if each.passed is None} == {
        "identities",
        "coverage",
        "ann_recall",
        "evaluation",
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[coverage]\nmaximum = 1", "policy.toml, coverage.maximum"),
        ("[coverage]\nminimum = 2", "policy.toml, coverage.minimum"),
        ('gates = ["luck"]', "unknown gates: luck; there are identities, residual"),
        ("gates = [", "not valid TOML"),
        ('[evaluation]\nqueries = "queries.jsonl"\nmetric = "luck"', "there are hit@10"),
    ],
)
def test_a_wrong_policy_is_told_by_its_key(
    store: Store, settings: Settings, text: str, said: str
) -> None:
    fill(store, range(4))
    labelled(settings, range(2))
    policy(settings, text)
    with pytest.raises(BadInput, match=said.replace("[", r"\[")):
        ask(store, settings)


def test_a_verdict_is_stored_and_read_as_it_was(store: Store, settings: Settings) -> None:
    fill(store, range(4))
    published = publish(store, CHOICES, settings)
    stored: Any = json.loads(store.releases.rows()[0]["verdict"])
    assert Verdict.model_validate(stored) == published.verdict
