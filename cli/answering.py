"""Questions in the terminal, answered in sentences that cite what they rest on."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.terminal import AsJson, Home, open_home, print_json, say


def answer(
    question: Annotated[str, typer.Argument(help="What to answer.")],
    image: Annotated[Path | None, typer.Option(help="A picture to ask with.")] = None,
    k: Annotated[int, typer.Option("-k", min=1, max=8, help="How many items are read.")] = 8,
    where: Annotated[str | None, typer.Option(help="Filter, such as \"region = 'eu'\".")] = None,
    user: Annotated[
        str | None, typer.Option(help='Ask as somebody: {"region": "eu", "groups": []}.')
    ] = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Answer a question in the words of the media, each sentence with where it stands."""
    import asyncio

    from pipelines.answering.questions import answer as answer_question
    from pipelines.rights import Caller
    from pipelines.search.asked.media import in_memory
    from pipelines.search.asked.query import Query
    from pipelines.search.service import SearchService

    settings, store = open_home(home)
    caller = Caller.of_json(user) if user else None
    uploads = [in_memory(image.read_bytes(), "image")] if image else []

    async def ask() -> None:
        service = SearchService(store, settings, journal=True)
        query = Query(question, k=k, where=where)
        document = await answer_question(service, query, uploads, caller)
        if as_json:
            print_json(document)
        else:
            _show(document)
        # What was asked is written down, once it is known to be free of private data.
        sys.stdout.flush()
        await service.close()

    asyncio.run(ask())


def _show(document: dict[str, Any]) -> None:
    for missing in document["degraded"]:
        name = missing.get("channel") or missing["input"]
        say(f"answered without {name}: {missing['reason']}")
    for sentence in document["sentences"]:
        marks = "".join(f"[{number}]" for number in sentence["citations"])
        say(f"{sentence['text']} {marks}")
    if not document["sentences"]:
        say(document["no_answer"])
    for citation in document["citations"]:
        named = f"{citation['title']}, " if citation["title"] else ""
        say(f"  [{citation['number']}] {named}{citation['link']}")
