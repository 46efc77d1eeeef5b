"""Archives of the runs of the benchmark, with checksums that a published table of results can refer to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from molbuffer.flows.tools.pmo.results import BenchResult
from molbuffer.storage import SampleStore, file_sha256

SUMS = "SHA256SUMS"
"""The file of checksums, which ``sha256sum --check`` reads."""
ENDING = ".tar.zst"


def archive_runs(folder: Path, results: list[BenchResult], out: Path, say: Callable[[str], None]) -> Path:
    """Archive the store of each finished run, write the checksums of all archives, and return the file of checksums.

    An existing archive is not changed.

    Args:
        folder: the folder of the stores.
        results: the results of the runs in the folder.
        out: the folder of the archives, which is made if it does not exist.
        say: is called with a message for each archive that is made.
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
