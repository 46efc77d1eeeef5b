"""Archives of the runs of the benchmark, with the checksums by which a published table says what it was made of."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from molbuffer.flows.tools.pmo.results import BenchResult
from molbuffer.storage import SampleStore, file_sha256

SUMS = "SHA256SUMS"
"""The file of checksums, which ``sha256sum --check`` reads."""
ENDING = ".tar.zst"


def archive_runs(folder: Path, results: list[BenchResult], out: Path, say: Callable[[str], None]) -> Path:
    """Archive the store of each run that is at its end, and write the checksums of all archives; return their file.

    An archive that is there already is kept as it is.

    Args:
        folder: the folder of the stores.
        results: those of the runs in it.
        out: the folder of the archives, made if need be.
        say: told each archive that is made.
    """
    out.mkdir(parents=True, exist_ok=True)
    for result in results:
        name = f"{result.task}-{result.seed}"
        archive = out / f"{name}{ENDING}"
        if result.ended and not archive.exists():
            with SampleStore.open(folder / name, read_only=True) as store:
                store.archive(archive)
            say(f"archived {archive}")
    lines = [f"{file_sha256(path)}  {path.name}\n" for path in sorted(out.glob(f"*{ENDING}"))]
    sums = out / SUMS
    sums.write_text("".join(lines))
    return sums
