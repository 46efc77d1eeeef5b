"""Migrations that no release has, and a process that applies them, for tests that kill it or race it.

python migrating_process.py STORE [N]     dies before what is to be made durable for the Nth time
"""

import os
import signal
import sys

from molbuffer.storage.catalog.migrate import migrate_store
from molbuffer.storage.catalog.schema.migrations import MIGRATIONS, Migration
from molbuffer.storage.files.durable import sync_paths

LATER = (
    *MIGRATIONS,
    Migration(
        len(MIGRATIONS) + 1,
        "charges",
        (
            "ALTER TABLE {samples} ADD COLUMN charge INTEGER DEFAULT 7",
            "ALTER TABLE {builds} ADD COLUMN remark VARCHAR DEFAULT 'it''s old'",
            "ALTER TABLE {builds} ADD COLUMN weight FLOAT",
        ),
    ),
    Migration(
        len(MIGRATIONS) + 2,
        "notes",
        ("CREATE TABLE {notes} (run_id VARCHAR, note VARCHAR)", "INSERT INTO {notes} VALUES ('run-1', 'first')"),
        adds=("notes",),
    ),
)
LATER_FORMAT = 2
STEPS = (
    "backup written aside",
    "backup renamed",
    "before COMMIT of the first migration",
    "before COMMIT of the second migration",
    "store.toml written aside",
    "store.toml renamed",
)
"""What is done when a migration makes something durable for the first, second, … time."""


def main() -> None:
    path, *numbers = sys.argv[1:]
    last, calls = int(numbers[0]) if numbers else 0, 0

    def sync(paths):
        nonlocal calls
        calls += 1
        if calls == last:
            print("dying", flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
        sync_paths(paths)

    receipt = migrate_store(path, migrations=LATER, newest_format=LATER_FORMAT, sync=sync)
    print("applied", *receipt.applied, flush=True)


if __name__ == "__main__":
    main()
