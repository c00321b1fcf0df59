"""Asking the index: in the terminal or over HTTP, and how good its answers are."""

import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.terminal import AsJson, Home, open_home, print_json, say, settings_of


def search(
    text: Annotated[str | None, typer.Argument(help="What to look for.")] = None,
    image: Annotated[Path | None, typer.Option(help="A picture to look for.")] = None,
    audio: Annotated[Path | None, typer.Option(help="A sound, or spoken words.")] = None,
    video: Annotated[Path | None, typer.Option(help="A film to look for, with its sound.")] = None,
    k: Annotated[int, typer.Option("-k", min=1, max=1000, help="How many results.")] = 10,
    where: Annotated[str | None, typer.Option(help="Filter, such as \"region = 'eu'\".")] = None,
    user: Annotated[
        str | None, typer.Option(help='Ask as somebody: {"region": "eu", "groups": []}.')
    ] = None,
    profile: Annotated[
        str, typer.Option(help="How channels become one score, such as auto or reciprocal_rank.")
    ] = "auto",
    plan: Annotated[
        str,
        typer.Option(help="parallel, filter_then_vector, ann_then_bm25, cheap_first, by_domain."),
    ] = "parallel",
    diversity: Annotated[
        float, typer.Option(min=0, max=1, help="1 ranks by score alone; less spreads like things.")
    ] = 1.0,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Search the serving release by text, picture, sound, film, or several of them together."""
    import asyncio
    from contextlib import ExitStack

    from pipelines.rights import Caller
    from pipelines.search.asked.media import Kind, Upload
    from pipelines.search.asked.query import Query
    from pipelines.search.service import SearchService

    settings, store = open_home(home)
    caller = Caller.of_json(user) if user else None
    files: dict[Kind, Path | None] = {"image": image, "audio": audio, "video": video}

    async def ask(uploads: list[Upload]) -> None:
        service = SearchService(store, settings, journal=True)
        query = Query(text, k=k, where=where, profile=profile, plan=plan, diversity=diversity)
        answer = await service.search(query, uploads, caller)
        if as_json:
            print_json(answer)
        else:
            _show_answer(answer)
        # What was asked is written down, once it is known to be free of private data.
        sys.stdout.flush()
        await service.close()

    with ExitStack() as opened:
        uploads = [
            Upload(opened.enter_context(path.open("rb")), path.name, kind)
            for kind, path in files.items()
            if path
        ]
        asyncio.run(ask(uploads))


def serve(
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 is all.")] = "127.0.0.1",
    port: int = 8000,
    workers: Annotated[int, typer.Option(min=1, help="Processes that answer.")] = 1,
    is_open: Annotated[
        bool, typer.Option("--open", help="Let everybody in where the home has no tokens.")
    ] = False,
    rate: Annotated[
        str | None, typer.Option(help="Requests of a caller, such as 100/second; '' for any.")
    ] = None,
    rate_storage: Annotated[
        str | None, typer.Option(help="Count them for all workers in redis://HOST:PORT.")
    ] = None,
    concurrent: Annotated[
        int | None, typer.Option(min=1, help="Requests that a process works on at once.")
    ] = None,
    seconds: Annotated[
        float | None, typer.Option(min=0.1, help="A request that takes longer is given up.")
    ] = None,
    home: Home = None,
) -> None:
    """Serve the search API, described at /openapi.json, and its page."""
    from cli.uploading import command_of
    from serving import workers as processes
    from serving.limits import Limits

    given: dict[str, Any] = {
        "rate": rate,
        "rate_storage": rate_storage,
        "concurrent": concurrent,
        "seconds": seconds,
    }
    limits = Limits(**{name: value for name, value in given.items() if value is not None})
    settings, _ = open_home(home)
    index = command_of(settings.home)
    processes.serve(settings, limits, host, port, workers, is_open, index)


def ui(host: str = "127.0.0.1", port: int = 3000, home: Home = None) -> None:
    """Open the Dagster UI over this home: webserver and daemon."""
    from sensors.launch import prepare_home

    prepare_home(settings_of(home))
    workspace = Path(__file__).parents[1] / "workspace.yaml"
    command = ["dagster", "dev", "-w", str(workspace), "-h", host, "-p", str(port)]
    raise typer.Exit(
        subprocess.run([str(Path(sys.executable).with_name(command[0])), *command[1:]]).returncode
    )


def _show_answer(answer: dict[str, Any]) -> None:
    for missing in answer["degraded"]:
        name = missing.get("channel") or missing["input"]
        say(f"answered without {name}: {missing['reason']}")
    if answer["asked"]["reworded"]:
        say(f"asked in other words: {answer['asked']['reworded']}")
    if not answer["results"]:
        say(answer["no_match"] or f"nothing found in release {answer['release']}")
    for place, result in enumerate(answer["results"], start=1):
        shares = "  ".join(f"{name} {share:.3f}" for name, share in result["channels"].items())
        say(f"{place:>3}. {result['score']:.3f}  {result['uri']}{_part(result['segment'])}")
        say(f"     {result['title'] or result['item_id']}   [{shares}]")


def _part(segment: dict[str, Any] | None) -> str:
    if segment and segment["start_s"] is not None:
        end = "" if segment["end_s"] is None else f"–{_clock(segment['end_s'])}"
        return f"  {_clock(segment['start_s'])}{end}"
    return f" p. {segment['page']}" if segment and segment["page"] else ""


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
