"""What labelled queries and clicks teach, and how a profile on trial does."""

from pathlib import Path
from typing import Annotated, Any

import typer

from cli.terminal import AsJson, Home, open_home, print_json, say, short, table
from pipelines.errors import MediadexError
from pipelines.settings import Settings
from pipelines.store import Store


def learn(
    queries: Annotated[Path | None, typer.Argument(help="Labelled queries, JSON lines.")] = None,
    from_clicks: Annotated[
        bool, typer.Option("--from-clicks", help="Learn from what people clicked and judged.")
    ] = False,
    forget: Annotated[
        bool, typer.Option("--forget", help="Go back to the scales and weights of the start.")
    ] = False,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Learn scales and weights of channels for the next release, if they answer better there."""
    if sum((queries is not None, from_clicks, forget)) != 1:
        raise MediadexError("name a file of labelled queries, or give --from-clicks or --forget")
    settings, store = open_home(home)
    if forget:
        lesson = _forget(store)
    elif queries is not None:
        lesson = _from_labels(store, settings, queries)
    else:
        from pipelines.search.measuring.clicked import learn_from_clicks

        lesson = learn_from_clicks(store, settings).as_document()
    if as_json:
        print_json(lesson)
        return
    if lesson["scores"]:
        table("Means over queries", tuple(lesson["scores"][0]), short(lesson["scores"]))
    if lesson["scales"]:
        title = "Expected calibration error on held-out queries"
        table(title, tuple(lesson["scales"][0]), short(lesson["scales"]))
    used = "is used from the next release on" if lesson["used"] else "nothing new is used"
    say(f"{used}: {lesson['reason']}")


def trial(
    profile: Annotated[
        str | None, typer.Argument(help="Profile that is or was on trial; default: the setting.")
    ] = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Compare what users did with the answers of a profile on trial, and with the usual ones."""
    from pipelines.search.measuring.trials import compare

    settings, store = open_home(home)
    found = compare(store, profile or settings.trial_profile)
    if as_json:
        print_json(found.as_document())
        return
    rows = found.rows()
    title = f"{found.profile}: {found.users[1]} users on trial, {found.users[0]} others"
    table(title, tuple(rows[0]), short(rows))
    say(found.reason)


def _from_labels(store: Store, settings: Settings, queries: Path) -> dict[str, Any]:
    import asyncio

    from pipelines.releases.tuned import read_learned, write_learned
    from pipelines.search.fusion import learning
    from pipelines.search.measuring.evaluation import judge_serving, read_queries

    asking = judge_serving(store, read_queries(queries), settings, learned=False)
    _, judged = asyncio.run(asking)
    lesson = learning.learn(judged, old=read_learned(store))
    if lesson.learned:
        write_learned(store, lesson.learned)
    return lesson.as_document()


def _forget(store: Store) -> dict[str, Any]:
    from pipelines.releases.tuned import write_learned

    write_learned(store, None)
    return {"used": False, "reason": "the next release has none", "scores": [], "scales": []}
