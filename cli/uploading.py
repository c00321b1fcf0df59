"""Indexing what a server was given, in a process of its own that keeps its models."""

import sys
from pathlib import Path

from cli.terminal import Home, open_home

_IDLE_S = 600.0


def command_of(home: Path) -> list[str]:
    """Return the command that a server runs beside itself."""
    program = Path(sys.executable).with_name("mediadex")
    return [str(program), "index-uploads", "--home", str(home.resolve())]


def index_uploads(home: Home = None) -> None:
    """Index what was uploaded once for every line of input; ends after ten minutes without one."""
    import json
    import os
    import select

    from cli.indexing import launcher
    from pipelines.catalog.uploads import folder_of
    from pipelines.errors import MediadexError
    from pipelines.tables.lock import one_at_a_time

    # Answers alone go to standard output: what libraries print there goes to standard error.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    settings, _ = open_home(home)
    folder = folder_of(settings)
    folder.mkdir(parents=True, exist_ok=True)
    runs = launcher(settings)
    while select.select([0], [], [], _IDLE_S)[0] and os.read(0, 1 << 10):
        # Another process of the server may be at it.
        with one_at_a_time(folder / ".indexing"):
            try:
                answer = {"release": runs.index(str(folder))["release"]}
            except MediadexError as error:
                answer = {"error": str(error)}
        answers.write(f"{json.dumps(answer)}\n")
        answers.flush()
