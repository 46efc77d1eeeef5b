"""Compare the store with its peers on the same rows: the costs of writing, opening, training and querying.

    python benchmarks/store/bench_store.py [--rows 100000 1000000] [--per-build 10000] [--writers 1 2 4] [--commits 10]
                                     [--batches 400] [--stores NAME …]

Rows have 80 tokens, 80 log-probs, 6 latents, a string and a reward. Each store is filled by one process, read by
another after its files were dropped from the system's cache, and written by 1, 2 and 4 processes at once while one more
reads. Numbers are those of one run, one store after the other: compare them with each other and with the load, not with
those of another machine. A store whose package is missing is left out, and so are queries that a store cannot answer.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from bench_writers import run_together
from peers import COUNT, KNOWN, QUERIES
from store_steps import BATCHES, PEERS

STEPS = Path(__file__).with_name("store_steps.py")
SMALL = 1_000
PAUSE = 0.05
BYTES_PER_ROW = 1_500
"""The largest number of bytes of a row in a store, including files that are made for reading."""

Column = dict[str, str]


def measure(name: str, root: Path, rows: int, per_build: int, batches: int) -> tuple[Column, int]:
    """Return the column of a store in the table, and the checksum of the rows that it returns."""
    with folder_in(root) as folder:
        filled = run(name, folder, "fill", rows, per_build)
        taken = {part: size_of(folder / part) for part in (".", "cache")}
        found = run(name, folder, "read", rows, per_build, batches)
    commits, own, mapped, most = filled["commits"], *found["memory"]
    column = {
        "durability of a build": PEERS[name].durability,
        f"ingest, builds of {per_build:,}: rows/s": f"{rows / sum(commits):,.0f}",
        "  a build, median and worst: ms": f"{median(commits)} {ms(max(commits))}",
        "  median of the first and last 10: ms": f"{median(commits[:10])} {median(commits[-10:])}",
        "  finishing: s": f"{filled['finish']:.2f}",
        "bytes on disk a row": f"{(taken['.'] - taken['cache']) / rows:.0f}",
        "  and in its cache": f"{taken['cache'] / rows:.0f}" if taken["cache"] else "",
        "index, the first time: s": f"{filled['first']:.2f}",
        "opening and counting: s": f"{found['open']:.2f}",
        "index: s": f"{found['load']:.2f}",
        f"memory after {len(BATCHES) * batches:,} batches, own: MB": f"{own / 1e6:,.0f}",
        "  pages of files: MB": f"{mapped / 1e6:,.0f}",
        "  both together, at most: MB": f"{most / 1e6:,.0f}",
    }
    for kind in ("cold", "warm"):
        column |= {f"batch of {size}, {kind}: ms": ms(found[kind][str(size)]) for size in BATCHES}
    column |= {
        f"{query}: ms": ms(found["queries"][query]) for query in (COUNT, *QUERIES, KNOWN) if query in found["queries"]
    }
    return column, found["check"]


def measure_writers(name: str, root: Path, numbers: Sequence[int], per_build: int, commits: int) -> Column:
    """Measure the rows per second of several writers together, and the delay until a reader sees a build."""
    column = {}
    for writers in numbers if PEERS[name].shared else ():
        with folder_in(root) as folder:
            make_empty(name, folder)
            orders = [order(name, folder, "write", number, commits, per_build) for number in range(writers)]
            seconds = run_together(orders)[1]
        column[f"{writers} writers, builds of {per_build:,}: rows/s"] = (
            f"{writers * commits * per_build / seconds:,.0f}"
        )
    if PEERS[name].shared:
        with folder_in(root) as folder:
            make_empty(name, folder)
            orders = [
                order(name, folder, "write", 0, commits, SMALL, PAUSE),
                order(name, folder, "watch", commits, SMALL),
            ]
            (written, seen), _ = run_together(orders)
        late = [max(0.0, at - acknowledged) for at, (acknowledged, _) in zip(seen, written, strict=True)]
        column["seen after: ms, median and worst"] = f"{median(late)} {ms(max(late))}"
    return column


def make_empty(name: str, folder: Path) -> None:
    """Make a store before several processes open it."""
    store = PEERS[name](folder, 0)
    store.finish()
    store.close()


def run(name: str, folder: Path, step: str, *numbers: float) -> Any:
    return run_together([order(name, folder, step, *numbers)])[0][0]


def order(name: str, folder: Path, step: str, *numbers: float) -> list[str]:
    """Return the command of a process that does a step."""
    return [sys.executable, str(STEPS), name, str(folder), step, *map(str, numbers)]


def ms(seconds: float) -> str:
    digits = 2 if seconds < 0.001 else 1 if seconds < 0.01 else 0
    return f"{1000 * seconds:,.{digits}f}"


def median(seconds: Sequence[float]) -> str:
    return ms(statistics.median(seconds))


def size_of(folder: Path) -> int:
    return sum(path.stat().st_blocks * 512 for path in folder.rglob("*") if path.is_file())


@contextmanager
def folder_in(root: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir=root) as folder:
        yield Path(folder)


def show(columns: dict[str, Column]) -> None:
    """Print a line for each measured value and a column for each store."""
    figures = dict.fromkeys(figure for column in columns.values() for figure in column)
    print(f"{'':<44}" + "".join(f"{name:>19}" for name in columns))
    for figure in figures:
        print(f"{figure:<44}" + "".join(f"{column.get(figure, '-'):>19}" for column in columns.values()), flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 1_000_000], help="of each comparison")
    parser.add_argument("--per-build", type=int, default=10_000, help="rows of a build, each acknowledged by itself")
    parser.add_argument("--writers", type=int, nargs="+", default=[1, 2, 4], help="processes that write at once")
    parser.add_argument("--commits", type=int, default=10, help="builds that each writer writes")
    parser.add_argument("--batches", type=int, default=400, help="batches of each size, at most, that are read")
    parser.add_argument(
        "--stores", nargs="+", choices=PEERS, default=list(PEERS), metavar="NAME", help=", ".join(PEERS)
    )
    parser.add_argument("--folder", type=Path, help="where the stores are made; default: a temporary folder")
    options = parser.parse_args(arguments)
    names = [name for name in options.stores if not PEERS[name].package or find_spec(PEERS[name].package)]
    for name in options.stores:
        if name not in names:
            print(f"{name:<10}not compared: it is not installed; pip install 'molbuffer[bench]'")
    with folder_in(options.folder) as root:
        needed = max(options.rows) * BYTES_PER_ROW
        if shutil.disk_usage(root).free < needed:
            parser.error(f"{root} needs {needed / 1e9:.1f} GB free; name a --folder with more")
        writing = {
            name: measure_writers(name, root, options.writers, options.per_build, options.commits) for name in names
        }
        for rows in options.rows:
            columns, checks = {}, {}
            for name in names:
                columns[name], checks[name] = measure(name, root, rows, options.per_build, options.batches)
            if len(set(checks.values())) != 1:
                raise ValueError(f"the stores hand back different rows: {checks}")
            print(f"\n{rows:,} rows; 1-minute load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
            show(columns)
    print()
    show(writing)


if __name__ == "__main__":
    main()
