"""Erasing, and keeping: snapshots, restoring them, migrating tables."""

from typing import Annotated, Any

import typer

from cli.terminal import AsJson, Home, open_home, print_json, say, settings_of, table
from pipelines.store import Store


def erase(
    items: Annotated[
        list[str] | None, typer.Argument(help="Ids, as `search --json` tells them.")
    ] = None,
    owner: Annotated[str | None, typer.Option(help="Every item of this owner.")] = None,
    reason: Annotated[str, typer.Option(help="Why; stays on record for good.")] = "erased",
    later: Annotated[
        bool, typer.Option("--later", help="Hide now; leave removing to the nightly upkeep.")
    ] = False,
    from_snapshots: Annotated[
        bool,
        typer.Option(
            "--snapshots", help="Also take a new snapshot and drop all older ones, which hold them."
        ),
    ] = False,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Hide items from every answer at once, then remove all that holds their bytes and prove it.

    The files in their sources are yours and stay; they are not indexed again. Without ids it
    carries out what still waits.
    """
    import dagster as dg

    from assets.erasure import cleanser
    from pipelines import ledger
    from pipelines import snapshots as kept
    from pipelines.erasure.proof import as_rows
    from pipelines.erasure.purge import is_due, purge
    from pipelines.progress import reporter
    from sensors.launch import prepare_home

    settings, store = open_home(home)
    wanted = [*(items or []), *(ledger.owned_by(store, owner) if owner else [])]
    erased = [row["item_id"] for row in ledger.erase(store, wanted, reason)] if wanted else []
    kept.remember_erasures(store, settings)
    proof = None
    if not later and is_due(store):
        prepare_home(settings)
        with dg.DagsterInstance.get() as instance:
            cleanse = cleanser(instance, settings)
            proof = purge(store, settings, reporter("purging"), cleanse=cleanse)
    waiting = len(ledger.pending(store))
    dropped: list[str] = []
    if from_snapshots and not waiting:
        fresh = kept.take(store, settings, reporter("snapshot, files"))
        dropped = kept.forget_before(settings, fresh.taken_at)
    if as_json:
        told = proof.model_dump(mode="json") if proof else None
        print_json({"erased": erased, "waiting": waiting, "proof": told, "dropped": dropped})
        return
    say(f"{len(erased)} newly erased; no answer shows them any more")
    if waiting:
        say(f"{waiting} wait for their bytes to be removed: the nightly upkeep, or mediadex erase")
    if proof:
        table("searched, and nothing found", ("place", "files", "bytes", "decoded"), as_rows(proof))
        say(f"removed {len(proof.items)} in {proof.seconds:.1f} s; the proof: {proof.uri}")
    if dropped:
        say(f"{len(dropped)} older snapshots dropped")
    say("the files in their sources were not touched; they are yours to delete")


def snapshot(home: Home = None, as_json: AsJson = False) -> None:
    """Copy what is new in the home to the place of snapshots, and let old ones go."""
    from pipelines import snapshots as kept
    from pipelines.progress import reporter

    settings = settings_of(home)
    # Not `open_home`: a copy before a migration is what a snapshot may be for.
    taken = kept.take(Store(settings.root), settings, reporter("snapshot, files"))
    gone = kept.expire(settings)
    if as_json:
        print_json(_summary(taken) | {"removed": gone})
        return
    size, read = taken.bytes / 2**20, taken.read / 2**20
    say(f"snapshot {taken.name} in {taken.seconds:.1f} s")
    say(f"{len(taken.files)} files, {size:.1f} MiB, of which {read:.1f} MiB were read")
    if gone:
        say(f"{len(gone)} older than {settings.keep_snapshot_days:.0f} days removed")


def snapshots(home: Home = None, as_json: AsJson = False) -> None:
    """List the snapshots that can be restored, oldest first."""
    from pipelines import snapshots as kept

    rows = [_summary(each) for each in kept.listed(settings_of(home))]
    if as_json:
        print_json(rows)
        return
    table("snapshots", ("snapshot", "files", "bytes", "read", "items"), rows)


def restore(
    source: Annotated[
        str, typer.Argument(help="`latest`, a name of `snapshots`, or the URI of a listing.")
    ] = "latest",
    place: Annotated[
        str | None, typer.Option("--from", help="URI of the snapshots, where settings name none.")
    ] = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Bring a snapshot back into an empty home; what was erased since is erased again."""
    from pipelines import snapshots as kept
    from pipelines.progress import reporter

    settings = settings_of(home)
    if place:
        settings = settings.model_copy(update={"snapshots": place})
    restored = kept.restore(source, settings, reporter("restore, files"))
    if as_json:
        print_json(restored.model_dump())
        return
    say(f"restored {restored.snapshot} into {settings.root} in {restored.seconds:.1f} s")
    table("rows", ("table", "rows"), [{"table": t, "rows": n} for t, n in restored.rows.items()])
    for step in restored.migrated:
        say(f"migrated {step}")
    if restored.erased_again:
        say(f"{restored.erased_again} items were erased after this snapshot and are hidden again")
        say("remove their bytes: mediadex erase")


def migrate(
    to: Annotated[
        int | None, typer.Option(help="Number to go to, also back; default newest.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what differs.")] = False,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Bring the columns of the home's tables to those of this version, or back."""
    from pipelines.progress import reporter
    from pipelines.tables import migrations

    store = Store(settings_of(home).root)
    differs = migrations.diff(store)
    pending = [f"up {each.number}: {each.name}" for each in migrations.pending(store)]
    done = [] if dry_run else migrations.migrate(store, to, reporter("migrations"))
    at = migrations.state(store)
    if as_json:
        told = {"differs": differs, "pending": pending, "done": done}
        print_json({"at": at, "newest": migrations.CURRENT, **told})
        return
    for line in differs:
        say(line)
    for step in pending if dry_run else done:
        say(f"{'would do' if dry_run else 'did'} {step}")
    say(f"the home is at {at} of {migrations.CURRENT}")


def _summary(kept: Any) -> dict[str, Any]:
    """Return a snapshot in one row, without its listing."""
    return {
        "snapshot": kept.name,
        "files": len(kept.files),
        "bytes": kept.bytes,
        "read": kept.read,
        "items": kept.rows.get("items", 0),
        "seconds": kept.seconds,
    }
