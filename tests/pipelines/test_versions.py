"""Versions follow from code; what does not decide rows does not count, and rows can be kept."""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from pipelines import code_changes, versions
from pipelines.models.protocols import Identity
from pipelines.pipeline import versioned_code

CODE = '''
"""What is here."""

LIMIT = 3


def shorten(text):
    # keep the beginning
    return text[:LIMIT]
'''


@pytest.fixture
def written(tmp_path: Path) -> Callable[[str], ModuleType]:
    """Import code from a new file each time."""
    count = iter(range(100))

    def write(code: str) -> ModuleType:
        path = tmp_path / f"code_{next(count)}.py"
        path.write_text(code)
        spec = importlib.util.spec_from_file_location(path.stem, path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return write


@pytest.fixture
def record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Let a version stand for some code."""
    file = tmp_path / "versions.toml"
    monkeypatch.setattr(versions, "FILE", file)

    def write(version: str, code: str) -> None:
        file.write_text(f'[step]\nversion = "{version}"\ncode = "{code}"\n')
        versions.recorded.cache_clear()
        versions.code_version.cache_clear()

    yield write
    versions.recorded.cache_clear()
    versions.code_version.cache_clear()


@pytest.mark.parametrize(
    "same",
    [
        CODE.replace("# keep the beginning", "# the rest does not matter"),
        CODE.replace("What is here.", "Shortening."),
        CODE.replace("text[:LIMIT]", "(\n        text[ : LIMIT ]\n    )"),
    ],
)
def test_words_and_layout_do_not_count(written: Callable[[str], ModuleType], same: str) -> None:
    assert versions.code_digest([written(CODE)]) == versions.code_digest([written(same)])


@pytest.mark.parametrize("other", [CODE.replace("3", "4"), CODE.replace("[:LIMIT]", "[LIMIT:]")])
def test_what_code_does_counts(written: Callable[[str], ModuleType], other: str) -> None:
    assert versions.code_digest([written(CODE)]) != versions.code_digest([written(other)])


def test_new_code_is_a_version_of_its_own_until_rows_are_kept(
    written: Callable[[str], ModuleType], record: Callable[[str, str], None]
) -> None:
    before, after = written(CODE), written(CODE.replace("text[:LIMIT]", "text[0:LIMIT]"))
    record("first", versions.code_digest([before]))
    assert versions.code_version("step", (before,)) == "first"
    assert versions.code_version("step", (after,)) == versions.code_digest([after])
    record("first", versions.code_digest([after]))
    assert versions.code_version("step", (after,)) == "first"


def test_a_step_follows_its_models_and_settings_too() -> None:
    model = Identity("toy", "1", "", "", 3, "float32")
    other = Identity("toy", "2", "", "", 3, "float32")
    code = (Identity,)
    assert versions.step_version("x", code, model) == versions.step_version("x", code, model)
    made = {
        versions.step_version("x", code),
        versions.step_version("x", code, model),
        versions.step_version("x", code, other),
        versions.step_version("x", code, model, side=1),
        versions.step_version("x", code, model, side=2),
    }
    assert len(made) == 5


def test_keeping_and_renewing_are_written_down(
    record: Callable[[str, str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    code = (Identity,)
    monkeypatch.setattr(code_changes, "versioned_code", lambda: {"step": code})
    present = versions.code_digest(code)
    record("first", "other code")
    assert code_changes.changed() == {"step": present}
    code_changes.record(["step"], renew=False)
    assert code_changes.changed() == {} and versions.code_version("step", code) == "first"
    record("first", "other code")
    code_changes.record([], renew=True)
    assert code_changes.changed() == {} and versions.code_version("step", code) == present


def test_every_change_of_code_was_decided_about() -> None:
    undecided = code_changes.changed()
    assert not undecided, (
        f"the code of {', '.join(undecided)} changed: `python -m pipelines.code_changes` with "
        "--keep NAME if its rows stay as they are, else with --renew"
    )
    assert versioned_code()
