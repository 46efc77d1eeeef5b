"""Scores that the processes of one host hand over, for any other process of the host to commit.

    STORE/handed-over/
      <id>.json    scores of a run, durable before the file has its name; removed once they are committed

Workers that commit their own scores wait for one another most of the time, since a transaction takes as long as several
scores. A worker that hands over its scores continues at once, and the process of its run commits the scores of all
workers together. A score that was handed over is safe even if processes are killed: its file stays until the score is
committed, and a process that looks the score up, or starts a run, commits it first.

If a process is killed after the commit and before it removes the file, the file is committed again and adds nothing,
since the time of a score is part of its identity.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import pyarrow as pa

from molbuffer.storage.backends import unwritten
from molbuffer.storage.catalog import Catalog
from molbuffer.storage.commits import tables
from molbuffer.storage.commits.scores import insert_score_rows
from molbuffer.storage.files import Sync, make_folder, write_aside
from molbuffer.storage.records import Score, ScoreStatus, now

_SUFFIX, _UNREADABLE = ".json", ".unreadable"
_logger = logging.getLogger("molbuffer.storage.commits")


@dataclass(frozen=True)
class _File:
    """The content of a file of scores.

    Attributes:
        path: the path of the file.
        scores: the scores.
        run_id: the run that the scores belong to; None without a run.
        created: the time at which they were handed over, in UTC.
    """

    path: Path
    scores: Sequence[Score]
    run_id: str | None
    created: datetime


class HandedOver:
    """The scores of one store that the processes of this host have handed over.

    Args:
        folder: the folder of the files, in the store's folder.
        sync: makes files and folders durable.
    """

    def __init__(self, folder: Path, sync: Sync) -> None:
        self._folder, self._sync = folder, sync

    def add(self, scores: Sequence[Score], run_id: str | None) -> None:
        """Hand over scores, which are durable when this returns.

        Raises:
            StoreWriteError: the disk is full or failed.
        """
        said = {"run_id": run_id, "created": now().isoformat(), "scores": [asdict(score) for score in scores]}
        try:
            if not self._folder.exists():
                make_folder(self._folder)
                self._sync([self._folder.parent])
            name = f"{time.time_ns():020d}-{uuid4().hex}{_SUFFIX}"
            write_aside(self._folder / name, json.dumps(said).encode(), self._sync)
        except OSError as error:
            raise unwritten(self._folder.parent, error) from error

    def has(self, component: str, version: str, smiles: Collection[str]) -> bool:
        """Return whether a score of one of the molecules waits to be committed.

        If not, the scores that were handed over before the call have been committed.
        """
        wanted = set(smiles)
        return any(
            score.smiles in wanted and (score.component, score.version) == (component, version)
            for file in self._files()
            for score in file.scores
        )

    def commit(self, catalog: Catalog) -> int:
        """Commit all scores that were handed over before the call in one transaction; return the number of new ones.

        Raises:
            StoreWriteError: the disk is full or failed; no score is lost.
            StoreError: the commit failed; no score is lost.
        """
        files = list(self._files())
        if not files:
            return 0
        rows = pa.concat_tables(tables.score_rows(each.scores, each.run_id, each.created) for each in files)
        posed = pa.concat_tables(tables.pose_rows(each.scores, each.run_id, each.created) for each in files)
        extra = {"runs": sorted({each.run_id for each in files if each.run_id}), "scores": rows.num_rows}
        insert = partial(insert_score_rows, rows=rows, posed=posed)
        added, _ = catalog.transact("molbuffer", f"{rows.num_rows} scores", extra, insert)
        for each in files:
            # Another process may have committed and removed the file as well.
            each.path.unlink(missing_ok=True)
        return added

    def _files(self) -> Iterator[_File]:
        if not self._folder.exists():
            return
        for path in sorted(path for path in self._folder.iterdir() if path.suffix == _SUFFIX):
            try:
                content = path.read_bytes()
            except FileNotFoundError:
                continue
            try:
                yield _read(path, json.loads(content))
            except (ValueError, KeyError, TypeError) as error:
                _logger.error("%s has scores that cannot be read, and is renamed: %s", path, error)
                with suppress(FileNotFoundError):
                    path.rename(path.with_suffix(_UNREADABLE))


def _read(path: Path, said: dict[str, Any]) -> _File:
    scores = [Score(**(each | {"status": ScoreStatus(each["status"])})) for each in said["scores"]]
    return _File(path, scores, said["run_id"], datetime.fromisoformat(said["created"]))
