"""The commit protocol: all parts of a commit become visible together, durably, and exactly once.

    1. The arrays are written as new segments, and the checkpoint as a new folder, and synced.
    2. One transaction, which holds the commit lock, looks up which parts are stored already and inserts the others. Its
       Parquet files are synced before it commits. Commits that wait for one another share a transaction
       (``commits.turns``).
    3. Then the commit is acknowledged, to each process by itself.

Between steps 1 and 2 the process may be suspended for so long that a vacuum removes its files like those of a killed
process. The transaction therefore checks that the files exist; if they do not, the commit starts again.

A crash before step 2 leaves files that no row names. A build is identified by its id, and consumed rows, checkpoints
and metrics of a training by their run and iteration: a second attempt finds them and adds nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence, Set
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Protocol
from uuid import uuid4

import pyarrow as pa

from molbuffer.storage.backends import unwritten
from molbuffer.storage.catalog import Catalog, Transaction
from molbuffer.storage.commits import tables
from molbuffer.storage.commits.known_builds import KnownBuilds
from molbuffer.storage.commits.prepared import PreparedCommit, runs_of
from molbuffer.storage.commits.scores import insert_poses, insert_scores
from molbuffer.storage.commits.tables import PlacedBuild
from molbuffer.storage.commits.training_rows import insert_checkpoint, insert_policies, insert_training
from molbuffer.storage.commits.turns import Answer, BuildKey, CommitRequest, Outcome, Turns, WaitingCommit
from molbuffer.storage.errors import StoreError, UnknownRunError
from molbuffer.storage.files import Sync, write_files
from molbuffer.storage.layout import Layout
from molbuffer.storage.records import Build, Checkpoint, Commit, Event, now
from molbuffer.storage.segments import write_segment
from molbuffer.storage.stored import BuildReceipt, CommitReceipt

WAITING = "waiting"
"""The name of the folder, in the folder of the store, in which commits wait for their turn."""
MOST_ROWS_TOGETHER = 200_000
"""The number of rows of all tables from which on a transaction takes no more commits."""

_logger = logging.getLogger("molbuffer.storage.commits")


@dataclass(frozen=True)
class _Inserted:
    """The result of a transaction: the builds that were stored already, and the outcomes of waiting commits."""

    there: dict[str, BuildReceipt]
    outcomes: list[Outcome]


class _Reader(Protocol):
    def read(self, sql: str, *, parameters: Sequence[Any] | None = None, **tables: pa.Table) -> pa.Table: ...


class Committer:
    """A writer of commits to one store, which several threads may use."""

    def __init__(self, catalog: Catalog, layout: Layout, sync: Sync) -> None:
        self._catalog = catalog
        self._layout = layout
        self._sync = sync
        self._known_runs: set[str] = set()
        self._known_builds = KnownBuilds(catalog)
        self._turns: Turns | None = None

    def commit(self, commit: Commit) -> CommitReceipt:
        """Commit a commit by the protocol of this module.

        Raises:
            ValueError: the commit contradicts itself.
            UnknownRunError: the commit names a run that was never started.
            StoreWriteError: the disk is full or failed; nothing of the commit is visible.
            StoreError: nothing of the commit is visible.
        """
        check(commit)
        self._check_runs(runs_of(commit))
        while (receipt := self._attempt(commit)) is None:
            _logger.warning("a vacuum removed arrays before they were committed; they are written again")
        return receipt

    def _attempt(self, commit: Commit) -> CommitReceipt | None:
        """Try to commit once; return None if the files of step 1 are missing in step 2."""
        self._catalog.check_there()
        try:
            prepared = self._prepare(commit)
        except OSError as error:
            raise unwritten(self._layout.root, error) from error
        request = prepared.request()
        while True:
            with self._turn(request) as answer:
                if answer is None:
                    return self._commit_with_others(prepared)
            if answer.outcome is Outcome.COMMITTED:
                return prepared.receipt({}, answer.snapshot)
            if answer.outcome is Outcome.GONE:
                return None
            request = None

    def _prepare(self, commit: Commit) -> PreparedCommit:
        """Write the arrays and the checkpoint and make the columns of the tables, which needs no lock."""
        builds = tables.rows_in_order(commit.builds)
        placed = self._write_segments(builds)
        folder = self._write_checkpoint(commit.checkpoint) if commit.checkpoint else None
        written = {f"{self._layout.arrays.name}/{place.segment}" for place in placed} | ({folder} if folder else set())
        return PreparedCommit(commit, placed, tables.build_tables(placed, now()), sorted(written), folder)

    @contextmanager
    def _turn(self, request: CommitRequest | None) -> Iterator[Answer | None]:
        if self._turns is None:
            try:
                self._turns = Turns(self._layout.root / WAITING, self._catalog.lock_seconds)
            except OSError:
                # The folder may be read-only in a store with Postgres and an object store: the commit lock is enough.
                yield None
                return
        try:
            turn = self._turns.turn(request)
            answer = turn.__enter__()
        except OSError as error:
            raise unwritten(self._layout.root, error) from error
        with ExitStack() as stack:
            stack.push(turn)
            yield answer

    def _commit_with_others(self, prepared: PreparedCommit) -> CommitReceipt | None:
        """Commit together with the commits that wait for their turn, or alone if that fails."""
        others: list[WaitingCommit] = []
        if self._turns is not None and prepared.takes_others:
            rows = 0
            for waiting in self._turns.waiting():
                others.append(waiting)
                rows += sum(table.num_rows for table in waiting.request.tables.values())
                if rows > MOST_ROWS_TOGETHER:
                    break
        if not others:
            return self._transact(prepared, [])
        try:
            return self._transact(prepared, others)
        except StoreError as error:
            _logger.warning("%d commits together failed, and are made one by one: %s", len(others) + 1, error)
        except BaseException:
            _answer_all(others, Answer(Outcome.ALONE))
            raise
        _answer_all(others, Answer(Outcome.ALONE))
        return self._transact(prepared, [])

    def _transact(self, prepared: PreparedCommit, others: Sequence[WaitingCommit]) -> CommitReceipt | None:
        """Insert a commit and waiting ones; return None, and insert nothing, if the commit's own arrays are missing."""
        commit = prepared.commit

        def insert(transaction: Transaction) -> _Inserted | None:
            # A vacuum removes nothing while the lock is held.
            if not self._all_there(prepared.written):
                return None
            keys = [*prepared.keys, *(key for each in others for key in each.request.builds)]
            there = find_receipts(transaction, self._known_builds.among(transaction, keys))
            outcomes = self._outcomes(others, {key.build_id for key in prepared.keys} | there.keys())
            together = [
                each.request for each, outcome in zip(others, outcomes, strict=True) if outcome is Outcome.COMMITTED
            ]
            fresh = [place for place in prepared.placed if place.build.build_id not in there]
            own = prepared.columns if len(fresh) == len(prepared.placed) else tables.build_tables(fresh, now())
            for name, rows in tables.united([own, *(request.tables for request in together)]).items():
                transaction.insert(name, rows)
            for place in fresh:
                insert_poses(transaction, place.build.scores, place.build.run_id)
            insert_scores(transaction, commit.scores, commit.run_id or _only_run(commit))
            insert_policies(transaction, [*commit.policies, *(p for request in together for p in request.policies)])
            insert_training(transaction, commit)
            if commit.checkpoint and prepared.folder:
                insert_checkpoint(transaction, commit.checkpoint, prepared.folder)
            return _Inserted(there, outcomes)

        said, extra = prepared.provenance([each.request for each in others])
        inserted, version = self._catalog.transact(commit.author, said, extra, insert)
        if inserted is None:
            _answer_all(others, Answer(Outcome.ALONE))
            return None
        for each, outcome in zip(others, inserted.outcomes, strict=True):
            each.answer(Answer(outcome, version))
        return prepared.receipt(inserted.there, version)

    def _all_there(self, written: Sequence[str]) -> bool:
        return all((self._layout.data / path).is_dir() for path in written)

    def _outcomes(self, others: Sequence[WaitingCommit], known: Set[str]) -> list[Outcome]:
        """Return the outcome of each waiting commit: COMMITTED if its arrays exist and none of its builds is known."""
        seen, outcomes = set(known), []
        for each in others:
            ids = {key.build_id for key in each.request.builds}
            if not self._all_there(each.request.written):
                outcomes.append(Outcome.GONE)
            elif ids & seen:
                outcomes.append(Outcome.ALONE)
            else:
                outcomes.append(Outcome.COMMITTED)
                seen |= ids
        return outcomes

    def _check_runs(self, named: Sequence[str]) -> None:
        """Refuse runs that were never started: without a run, a row has no provenance."""
        # Runs are never removed, so that one look-up for each is enough.
        if not self._known_runs.issuperset(named):
            self._known_runs |= set(self._catalog.read("SELECT run_id FROM {runs}")["run_id"].to_pylist())
        if missing := sorted(set(named) - self._known_runs):
            raise UnknownRunError(f"{', '.join(missing)}: no such run in {self._layout.root}; call start_run first")

    def _write_segments(self, builds: Sequence[Build]) -> list[PlacedBuild]:
        """Write one segment for each vocabulary, and return the place of each build, in the order of the builds."""
        groups: dict[str, list[Build]] = {}
        for build in builds:
            groups.setdefault(build.samples.vocabulary_sha256, []).append(build)
        places: dict[str, PlacedBuild] = {}
        for group in groups.values():
            segment = uuid4().hex
            offsets = write_segment(self._layout.arrays / segment, [build.samples.rows for build in group])
            places |= {b.build_id: PlacedBuild(b, segment, offset) for b, offset in zip(group, offsets, strict=True)}
        return [places[build.build_id] for build in builds]

    def _write_checkpoint(self, checkpoint: Checkpoint) -> str:
        """Write the files of a checkpoint, and return the path of their folder under the store's data."""
        # A second attempt at one iteration gets a folder of its own; the catalog names the valid one.
        name = f"{checkpoint.iteration:08d}-{uuid4().hex[:8]}"
        run = self._layout.checkpoints / checkpoint.run_id
        write_files(run / name, checkpoint.files, self._sync, named_in=[run, run.parent])
        return str(PurePosixPath(self._layout.checkpoints.name, checkpoint.run_id, name))


def check(commit: Commit) -> None:
    """Refuse a commit that contradicts itself.

    Raises:
        ValueError: a build occurs twice, a reward belongs to no row, consumed rows, metrics or bucketed molecules come
            without a run, or a file of a checkpoint has no plain name.
    """
    ids = [build.build_id for build in commit.builds]
    if len(set(ids)) != len(ids):
        twice = next(build for build in commit.builds if ids.count(build.build_id) > 1)
        raise ValueError(f"a commit holds a build of {twice.sampler!r} at iteration {twice.iteration} twice")
    for build in commit.builds:
        tables.check_rows(build)
    if (commit.consumed or commit.run_metrics or commit.bucketed) and commit.run_id is None:
        raise ValueError(
            "a commit with consumed rows, run metrics or bucketed molecules needs run_id, the run that they belong to"
        )
    names = commit.checkpoint.files if commit.checkpoint else ()
    if any("/" in name or name.startswith(".") for name in names):
        raise ValueError(f"files of a checkpoint need plain names, got {sorted(names)}")


def find_receipts(reader: _Reader, builds: Sequence[Build | BuildKey]) -> dict[str, BuildReceipt]:
    """Return the receipts of the builds that are committed already, by build id, marked as repeated."""
    if not builds:
        return {}
    runs, iterations = [build.run_id for build in builds], [build.iteration for build in builds]
    # The ranges let DuckLake skip the files of other runs and iterations; the join alone would read them all.
    found = reader.read(
        f"""{RECEIPT_COLUMNS} JOIN wanted USING (build_id)
        WHERE run_id BETWEEN ? AND ? AND iteration BETWEEN ? AND ?""",
        parameters=[min(runs), max(runs), min(iterations), max(iterations)],
        wanted=pa.table({"build_id": [build.build_id for build in builds]}),
    )
    return {row["build_id"]: receipt_of(row, repeated=True) for row in found.to_pylist()}


RECEIPT_COLUMNS = """SELECT build_id, run_id, iteration, event, sampler, drawn, parseable, kept, mean_reward,
    readmitted, snapshot_id AS snapshot FROM {builds}"""


def receipt_of(row: dict[str, Any], *, repeated: bool = False) -> BuildReceipt:
    """Return the receipt for a row that was selected with ``RECEIPT_COLUMNS``."""
    return BuildReceipt(**(row | {"event": Event(row["event"]), "repeated": repeated}))


def _only_run(commit: Commit) -> str | None:
    found = runs_of(commit)
    return found[0] if len(found) == 1 else None


def _answer_all(waiting: Sequence[WaitingCommit], answer: Answer) -> None:
    for each in waiting:
        each.answer(answer)
