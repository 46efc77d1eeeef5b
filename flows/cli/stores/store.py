"""Commands that make a store or change it as a whole: ``init``, ``migrate``, ``maintain``; and ``snapshots``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from molbuffer.flows.cli.common.formats import Format
from molbuffer.flows.cli.common.options import JsonOption, StoreOption
from molbuffer.flows.cli.common.output import as_json, shown_bytes, write_frame, write_text

if TYPE_CHECKING:
    import polars

    from molbuffer.samplers import RenamedMolecules
    from molbuffer.storage import MigrationReceipt


def add_commands(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command(epilog="Example: molbuffer init --store lab --catalog postgres://chem@db/lab --data s3://lab/store")(
        init
    )
    app.command(epilog="Example: molbuffer migrate --store lab")(migrate)
    app.command(epilog="Example: molbuffer maintain --store lab --expire-older-than 30d")(maintain)
    app.command(epilog="Example: molbuffer snapshots --store lab")(snapshots)


def init(
    store: StoreOption,
    catalog: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="A Postgres database, postgres://user@host/database, for writers on several hosts; the password comes "
            "from PGPASSWORD or ~/.pgpass. Default: a SQLite file in the folder, for one host.",
        ),
    ] = None,
    schema: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The schema in that database, one for each store; default: molbuffer."),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            metavar="PLACE",
            help="The place of tables, arrays, policies and checkpoints: a folder, or s3://bucket/prefix with the "
            "variables AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION and AWS_ENDPOINT_URL. Default: the store's "
            "folder.",
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Make a store whose catalog or data are not in its folder; any other store is made on first use.

    On each further host, the same command makes a folder that refers to the same store.
    """
    from molbuffer.storage import SampleStore

    given: dict[str, Any] = {"catalog": catalog, "catalog_schema": schema, "data_path": data}
    with SampleStore.create(store, **{name: value for name, value in given.items() if value is not None}) as made:
        result = {"store": str(store), "uuid": made.uuid, "version": made.snapshot()}
    write_text(as_json(result) if json else f"{store} refers to the store {made.uuid}, at snapshot {result['version']}")


def migrate(
    store: StoreOption,
    names: Annotated[
        bool,
        typer.Option(
            "--names",
            help="Also standardise each scored molecule again, and copy its scores to its name in this release.",
        ),
    ] = False,
    json: JsonOption = False,
) -> None:
    """Migrate a store of an older release to this one, after a backup of the files that change.

    End the programs that use the store first. A store that is up to date is not changed; an interrupted migration
    continues where it ended. The backup contains instructions for going back to it.
    """
    from molbuffer.storage import migrate_store

    receipt = migrate_store(store)
    renamed = _names_of(store) if names else None
    if json:
        write_text(as_json(asdict(receipt) | ({} if renamed is None else {"names": asdict(renamed)})))
        return
    write_text(_migration_text(receipt))
    if renamed is not None:
        write_text(
            f"{renamed.renamed} of {renamed.molecules} scored molecules have a new name; "
            f"{renamed.scores} scores were copied to the new names"
        )


def _names_of(store: Path) -> RenamedMolecules:
    from molbuffer.samplers import copy_scores_of_renamed
    from molbuffer.scoring import Standardisation
    from molbuffer.storage import SampleStore

    with SampleStore.open(store) as opened:
        return copy_scores_of_renamed(opened, Standardisation())


def _migration_text(receipt: MigrationReceipt) -> str:
    """Return the receipt of a migration as text."""
    now = f"schema {receipt.schema}, format {receipt.format}"
    if receipt.backup is None:
        return f"nothing to do: the store is up to date ({now})"
    lines = [f"applied: {name}" for name in receipt.applied]
    return "\n".join(
        [
            *lines,
            f"schema {receipt.old_schema}, format {receipt.old_format} became {now}",
            f"backup: {receipt.backup}",
            "how-to-go-back.txt in the backup says how to use it. Remove the folder when you no longer need it: until "
            "then, a vacuum keeps the files that the backup refers to",
        ]
    )


def maintain(
    store: StoreOption,
    compact: Annotated[
        bool, typer.Option("--compact", help="Merge small files. Without --compact and --vacuum, both are done.")
    ] = False,
    vacuum: Annotated[bool, typer.Option("--vacuum", help="Remove files that nothing refers to.")] = False,
    expire_older_than: Annotated[
        str | None,
        typer.Option(
            "--expire-older-than",
            metavar="AGE",
            help="Expire snapshots older than AGE, such as 30d, except pinned ones; default: expire none.",
        ),
    ] = None,
    keep: Annotated[int, typer.Option(min=1, help="Never expire this many of the newest snapshots.")] = 1,
    grace: Annotated[
        str,
        typer.Option(metavar="AGE", help="Remove only files older than AGE, which must exceed the time of any commit."),
    ] = "24h",
    keep_checkpoints: Annotated[
        int,
        typer.Option(min=1, help="Keep this many checkpoints of an unfinished run; a finished run keeps the last one."),
    ] = 2,
    remove_most: Annotated[
        bool,
        typer.Option(
            "--remove-most",
            help="Remove files even if the catalog never named most of the store; try `molbuffer recover` first.",
        ),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only list what would expire and be removed; compact nothing.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Compact a store, expire old snapshots, and remove files that nothing refers to, also while others use the store.

    The command first backs the catalog up in the store's folder backups, which keeps the last three of these backups.
    """
    from molbuffer.flows.tasks import MaintenanceRequest, maintain_store

    both = not (compact or vacuum)
    done = maintain_store(
        MaintenanceRequest(
            store=str(store),
            compact=compact or both,
            vacuum=vacuum or both,
            expire_older_than=expire_older_than,
            keep=keep,
            grace=grace,
            keep_checkpoints=keep_checkpoints,
            remove_most=remove_most,
            dry_run=dry_run,
        )
    )
    write_text(as_json(done) if json else "\n".join(_maintenance_lines(done)))


def snapshots(store: StoreOption, json: JsonOption = False) -> None:
    """List the snapshots of a store, the newest first, with the pins that keep each from expiring."""
    write_frame(_snapshots(store), Format.JSON if json else Format.TABLE)


def _maintenance_lines(done: dict[str, Any]) -> Iterator[str]:
    """Yield the report of a maintenance as lines of text."""
    if compact := done["compact"]:
        merged = sum(compact["merged_files"].values())
        yield (
            f"compacted: merged {merged} Parquet files, {compact['files']} are left; rewrote "
            f"{compact['segments_replaced']} segments as {compact['segments_written']}; other writers waited at most "
            f"{compact['longest_lock_seconds']:.2f} s"
        )
        yield from (f"  not readable, left unchanged: {reason}" for reason in compact["unreadable"].values())
    expired, removes = ("would expire", "would remove") if done["dry_run"] else ("expired", "removed")
    if expire := done["expire"]:
        pinned = len(expire["pinned"])
        yield f"{expired} {len(expire['expired'])} snapshots; {pinned} of the old ones are pinned and stay"
    if done["backup"]:
        yield f"catalog backed up: {done['backup']}"
    if vacuum := done["vacuum"]:
        yield f"{removes} {len(vacuum['removed'])} files and folders, {shown_bytes(vacuum['bytes'])}"
        yield from (f"  {removed['kind']} {removed['path']}" for removed in vacuum["removed"])


def _snapshots(store: Path) -> polars.DataFrame:
    import polars

    from molbuffer.storage import SampleStore

    with SampleStore.open(store, read_only=True) as opened:
        found = opened.snapshots()
    rows = [
        {
            "version": snapshot.version,
            "created": snapshot.created,
            "author": snapshot.author,
            "message": snapshot.message,
            "runs": snapshot.extra.get("runs") or [],
            "samples": snapshot.extra.get("samples"),
            "pinned_by": list(snapshot.pinned_by),
        }
        for snapshot in reversed(found)
    ]
    kinds: dict[str, Any] = {
        "runs": polars.List(polars.String),
        "pinned_by": polars.List(polars.String),
        "samples": polars.Int64,
    }
    return polars.DataFrame(rows, schema_overrides=kinds, infer_schema_length=None)
