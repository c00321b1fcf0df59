"""Deciding about rows after a change of code: `versions.toml` says what each version stands for.

python -m pipelines.code_changes                  # what changed
python -m pipelines.code_changes --keep captions  # same behaviour: rows of captions stay
python -m pipelines.code_changes --renew          # new behaviour: rows are made again
"""

import argparse
import sys
from collections.abc import Sequence

from pipelines import versions
from pipelines.pipeline import versioned_code
from pipelines.versions import code_digest, code_version, recorded


def changed() -> dict[str, str]:
    """Return the names whose code is not the recorded one, with the digest of what it is now."""
    present = {name: code_digest(code) for name, code in versioned_code().items()}
    return {
        name: code for name, code in present.items() if recorded().get(name, {}).get("code") != code
    }


def record(keep: Sequence[str], renew: bool) -> None:
    """Write down the present code: under its old version for what is kept, else under a new one."""
    rows = dict(recorded())
    for name, code in changed().items():
        if name in keep and name in rows:
            rows[name] = {"version": rows[name]["version"], "code": code}
        elif renew:
            rows[name] = {"version": code, "code": code}
    lines = [
        f'[{name}]\nversion = "{row["version"]}"\ncode = "{row["code"]}"\n'
        for name, row in sorted(rows.items())
    ]
    versions.FILE.write_text("\n".join(lines))
    recorded.cache_clear()
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
