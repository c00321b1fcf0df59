"""Versions of steps, derived from their code: a row made by other code is made again.

Only what decides the rows counts: comments, docstrings and layout do not. `versions.toml` beside
this module remembers which code each version stands for; new code is a version of its own until
`pipelines.code_changes` says otherwise.
"""

import ast
import inspect
import textwrap
import tomllib
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from pipelines.models.protocols import Identity
from pipelines.recipes import digest, digest_json

Code = ModuleType | Callable[..., Any] | type
FILE = Path(__file__).with_suffix(".toml")


def step_version(
    name: str, code: Sequence[Code], *models: Identity, **settings: str | int | float
) -> str:
    """Return 16 hex digits that change with a step's code, models or declared settings.

    A recipe is this version followed by the hash of what a row is made from: one rule for every
    derived table.
    """
    keys = [model.key for model in models]
    return digest(code_version(name, tuple(code)), *keys, digest_json(settings))[:16]


@cache
def code_version(name: str, code: tuple[Code, ...]) -> str:
    """Return the version that the code of a step stands for; new code is a version of its own."""
    present = code_digest(code)
    known = recorded().get(name, {})
    return known["version"] if known.get("code") == present else present


def code_digest(code: Sequence[Code]) -> str:
    """Hash modules, classes or functions by their syntax trees, without docstrings: 16 digits."""
    return digest(*(_essence(inspect.getsource(part)) for part in code))[:16]


def _essence(source: str) -> str:
    tree = ast.parse(textwrap.dedent(source))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                node.body = node.body[1:]
    return ast.dump(tree)


@cache
def recorded() -> dict[str, dict[str, str]]:
    """Return version and code of every step, as last written down."""
    return tomllib.loads(FILE.read_text()) if FILE.exists() else {}
