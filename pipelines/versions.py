"""Versions of steps, derived from their code: a row made by other code is made again.

Only what decides the rows counts: comments, docstrings and layout do not. `versions.toml` beside
this module remembers which code each version stands for. After a change of code, the new code is
its own version until someone says otherwise:

    python -m pipelines.versions                  # what changed
    python -m pipelines.versions --keep captions  # same behaviour: rows of captions stay
    python -m pipelines.versions --renew          # new behaviour: rows are made again
"""

import argparse
import ast
import inspect
import sys
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
_FILE = Path(__file__).with_suffix(".toml")


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
    known = _recorded().get(name, {})
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
def _recorded() -> dict[str, dict[str, str]]:
    return tomllib.loads(_FILE.read_text()) if _FILE.exists() else {}


def changed() -> dict[str, str]:
    """Return the names whose code is not the recorded one, with the digest of what it is now."""
    from pipelines.pipeline import versioned_code

    present = {name: code_digest(code) for name, code in versioned_code().items()}
    return {
        name: code
        for name, code in present.items()
        if _recorded().get(name, {}).get("code") != code
    }


def record(keep: Sequence[str], renew: bool) -> None:
    """Write down the present code: under its old version for what is kept, else under a new one."""
    rows = dict(_recorded())
    for name, code in changed().items():
        if name in keep and name in rows:
            rows[name] = {"version": rows[name]["version"], "code": code}
        elif renew:
            rows[name] = {"version": code, "code": code}
    lines = [
        f'[{name}]\nversion = "{row["version"]}"\ncode = "{row["code"]}"\n'
        for name, row in sorted(rows.items())
    ]
    _FILE.write_text("\n".join(lines))
    _recorded.cache_clear()
    code_version.cache_clear()


def main() -> None:
    """Show what changed, or write it down; fails while anything is undecided."""
    parser = argparse.ArgumentParser(description="Decide about rows after a change of code.")
    parser.add_argument("--keep", nargs="+", default=[], metavar="NAME")
    parser.add_argument("--renew", action="store_true")
    options = parser.parse_args()
    if options.keep or options.renew:
        record(options.keep, options.renew)
    undecided = changed()
    for name in undecided:
        sys.stderr.write(f"{name}: its code changed; --keep {name} or --renew\n")
    raise SystemExit(1 if undecided else 0)


if __name__ == "__main__":
    main()
