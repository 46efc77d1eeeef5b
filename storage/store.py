"""The store: runs, builds, scores, policies and checkpoints of all campaigns, in one folder that survives crashes.

    STORE/
      store.toml            format, uuid, catalog, data path (relative, so that the folder can move)
      catalog.sqlite        the DuckLake catalog: which rows and files exist at which snapshot
      tables/…/*.parquet    the rows of the tables of ``schema``
      arrays/<segment>/     one immutable Zarr group per commit: tokens, lengths, log-probs, latents, sources
      policies/<sha256>/    the weights of kept policies, named by their content
      checkpoints/<run>/    the files of each checkpoint of a training run
      journal.jsonl         which Parquet files each snapshot added, so that a lost catalog can be made anew
      claims.sqlite         the claims of processes on the expensive scores that they compute
      backups/              copies of the catalog from before each migration, and from the last maintenances
      handed-over/          scores that wait to be committed
      commit.lock           held by the process that commits
      waiting/              the commits that wait for their turn

For several hosts, the catalog is in a Postgres database, and tables, arrays, policies and checkpoints are in a shared
folder or under a prefix of an object store; the folder of each host then has store.toml, which names these places. Any
number of processes and threads, on one host or several, read and write the store at once. Every commit makes a new
*snapshot*, a version of the store, and the rows of a snapshot stay readable until it expires.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import pyarrow as pa

from molbuffer.storage.archive import (
    ArchiveReceipt,
    ArchiveTerms,
    MergeReceipt,
    is_archive,
    make_archive,
    merge_archive,
)
from molbuffer.storage.backends import SESSION, load_sql, reach_sql
from molbuffer.storage.boundary import bounded
from molbuffer.storage.catalog import MIGRATIONS, Migration
from molbuffer.storage.commits import (
    RECEIPT_COLUMNS,
    AcceptConfig,
    Committer,
    HandedOver,
    KnownScores,
    PendingCount,
    PendingRow,
    pending,
    read_build,
    receipt_of,
    runs,
)
from molbuffer.storage.commits import scores as scores_of
from molbuffer.storage.errors import StoreError, StoreExistsError
from molbuffer.storage.files import Sync, sync_paths
from molbuffer.storage.handle import OpenStore
from molbuffer.storage.history import DecodedCache, HistoryIndex, IndexScope, KnownIndexes
from molbuffer.storage.layout import DEFAULT_SCHEMA, HERE, SQLITE, Layout
from molbuffer.storage.maintenance import Maintenance, Snapshot, list_snapshots
from molbuffer.storage.opening import make_store, open_store, store_at
from molbuffer.storage.query import ExportReceipt, Parameters, RowWriter, best_molecules, export_history, lazy_history
from molbuffer.storage.query import sandbox as queries
from molbuffer.storage.query.frame import frame
from molbuffer.storage.records import (
    BucketedMolecule,
    Build,
    Commit,
    Consumed,
    Event,
    ObjectiveDefinition,
    Reward,
    Run,
    RunStatus,
    Score,
)
from molbuffer.storage.staging import drop_staged, read_staged, stage_build
from molbuffer.storage.stored import BuildReceipt, CommitReceipt, ListedCheckpoint, StoredBuild, StoredCheckpoint
from molbuffer.storage.verify import QuarantineReceipt, VerifyReport, verify_store
from molbuffer.storage.verify.quarantine import quarantine

if TYPE_CHECKING:
    import polars as pl


_logger = logging.getLogger("molbuffer.storage.runs")


@bounded(lambda store: store.path)
class SampleStore:
    """An open store. Use ``create``, ``open`` or ``open_or_create``, and close it, or use it as a context.

    Every method raises a ``StoreError`` if it fails, or a ``ValueError`` if its arguments are wrong.

    Attributes:
        path: the folder of the store.
        uuid: the identity of the store, which a copy shares.
        cache_key: the name of its decoded cache: the uuid of a store, or a name that follows from an archive's content.
        read_only: whether the store was opened for reading, or is an archive.
        archived: whether the store is an archive.
        policies: the policies whose weights the store keeps.
        claims: the claims of processes on the expensive scores that they compute.
    """

    def __init__(self, opened: OpenStore) -> None:
        self._open = opened
        self._catalog, self._layout = opened.catalog, opened.layout
        self.path = opened.path
        self.uuid = opened.uuid
        self.cache_key = opened.cache_key
        self.read_only = opened.read_only
        self.archived = opened.archive
        self.policies = opened.policies
        self.claims = opened.claims
        self._known_scores = KnownScores(opened.catalog)
        self._handed_over = HandedOver(opened.layout.handed_over, opened.sync)
        self._indexes = KnownIndexes(opened)
        self._endings: dict[str, str | None] = {}

    @classmethod
    def create(
        cls,
        path: str | Path,
        *,
        catalog: str = SQLITE,
        catalog_schema: str = DEFAULT_SCHEMA,
        data_path: str = HERE,
        sync: Sync = sync_paths,
    ) -> Self:
        """Make a store in a new or empty folder, for its owner only.

        For a store that several hosts use, each host makes a folder of its own with the address of the same catalog:
        the first call makes the store, and later calls join it.

        Args:
            path: the folder.
            catalog: ``sqlite:catalog.sqlite`` in the folder, or ``postgres://user@host/database``, without password.
            catalog_schema: the schema of the Postgres database that the store is, or will be, in.
            data_path: the place of tables, arrays, policies and checkpoints: a folder, or ``s3://bucket/prefix``.
            sync: makes files and directories durable.

        Raises:
            StoreExistsError: ``path`` is not empty, or ``data_path`` has the files of another store.
            StorePlaceError: a place cannot hold a store, or an address is not valid.
            StoreError: the database cannot be reached.
        """
        return cls(make_store(Path(path).resolve(), catalog, catalog_schema, data_path, sync))

    @classmethod
    def open(
        cls,
        path: str | Path,
        *,
        read_only: bool = False,
        sync: Sync = sync_paths,
        migrations: Sequence[Migration] = MIGRATIONS,
    ) -> Self:
        """Open a store, which may have been moved; an archive is always opened for reading.

        Args:
            path: the folder of the store.
            read_only: whether to open the store for reading.
            sync: makes files and directories durable.
            migrations: the migrations that the store must have had, neither more nor fewer.

        Raises:
            StoreNotFoundError: there is no store at ``path``.
            StoreFormatError: the store is damaged, of a newer release, or of an older one that must be migrated first.
            CatalogLostError: the store has its data, but not its catalog; ``recover_store`` makes the catalog anew.
            CatalogDamagedError: the catalog is damaged; ``recover_store`` makes it anew.
            StorePlaceError: the store is opened for writing on a network file system.
        """
        root = Path(path).resolve()
        return cls(open_store(root, read_only=read_only, sync=sync, migrations=migrations))

    @classmethod
    def open_or_create(cls, path: str | Path) -> Self:
        """Open the store at a path, or make one there; processes that make it at the same time share one store."""
        root = Path(path).resolve()
        if not (is_archive(root) or Layout(root).description.exists()):
            try:
                return cls.create(path)
            except StoreExistsError:
                # Another process may have made it since; anything else in the folder is the user's.
                if not Layout(root).description.exists():
                    raise
        return cls.open(path)

    def close(self) -> None:
        """Close the store; a second call does nothing."""
        self.claims.close()
        self._catalog.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @functools.cached_property
    def _committer(self) -> Committer:
        """The writer of commits, which caches the ids of the started runs."""
        return Committer(self._open.writable(), self._layout, self._open.sync)

    def start_run(self, run: Run, *, accept: AcceptConfig | None = None) -> RunStatus:
        """Record that a run starts, or starts again.

        Args:
            run: the run.
            accept: decides whether a changed configuration of a known run is accepted; None accepts no change.

        Returns:
            STARTED, or RESUMED when the run id is known.

        Raises:
            RunConflictError: the run id is known with another objective, kind, seed, or configuration that is not
                accepted.
        """
        self.commit_handed_over()
        return runs.start_run(self._open.writable(), run, accept)

    def finish_run(self, run_id: str, status: RunStatus, detail: str | None = None) -> None:
        """Record how a run ended.

        Raises:
            UnknownRunError: the run was never started.
        """
        runs.finish_run(self._open.writable(), self.run(run_id), status, detail)

    def record_given(self, run_id: str, given: str) -> None:
        """Record the objects that an active run was given for a build or a training, beside its configuration.

        Args:
            run_id: the run.
            given: the description of the objects, as JSON.

        Raises:
            UnknownRunError: the run was never started.
        """
        runs.record_given(self._open.writable(), self.run(run_id), given)

    def given(self, run_id: str) -> list[str]:
        """Return the texts that ``record_given`` has recorded for a run, the oldest first."""
        return runs.given_to(self._catalog, run_id)

    @contextmanager
    def recorded_run(self, run: Run, *, accept: AcceptConfig | None = None) -> Iterator[RunStatus]:
        """Record the start and the end of a run around a block of work.

        The end is recorded as finished, as failed with the error, or as interrupted by a signal. The context gives
        STARTED, or RESUMED if the run id is known; arguments and errors are those of ``start_run``. The detail of a
        finished run is the reason that ``note_ending`` was given.
        """
        status = self.start_run(run, accept=accept)
        _logger.info("run %s is %s", run.run_id, status)
        self.note_ending(run.run_id, None)
        try:
            yield status
        except BaseException as error:
            try:
                self.finish_run(run.run_id, runs.ending_of(error), f"{type(error).__name__}: {error}")
            except (OSError, StoreError) as unrecorded:
                error.add_note(f"the store could not record that run {run.run_id} ended: {unrecorded}")
            raise
        ending = self._endings.pop(run.run_id, None)
        self.finish_run(run.run_id, RunStatus.FINISHED, ending)
        if ending is not None:
            _logger.info("run %s has ended early: %s", run.run_id, ending)

    def record_objective(self, sha256: str, definition: ObjectiveDefinition) -> None:
        """Record the parts of a further objective of a run, unless the store has them already."""
        runs.record_objective(self._open.writable(), sha256, definition)

    def note_ending(self, run_id: str, reason: str | None) -> None:
        """Note why a recorded run will finish early, such as a used-up budget; None means that all work is done."""
        self._endings[run_id] = reason

    def interrupt_runs(self) -> list[str]:
        """Record all unfinished runs of this process as interrupted, when a signal ends the process.

        Returns:
            The ids of all interrupted runs of this process, also of those recorded before, the newest last.
        """
        return runs.interrupt_runs(self._open.writable())

    def run(self, run_id: str) -> Run:
        """Return the only run whose id is, or starts with, ``run_id``.

        Raises:
            UnknownRunError: no run matches, or more than one.
        """
        return runs.find_run(self._catalog, self.path, run_id)

    def commit(self, commit: Commit) -> CommitReceipt:
        """Commit builds, scores, policies, consumed rows, metrics and a checkpoint durably as one snapshot.

        Any thread may commit. A build that is committed already is not stored again: its receipt is returned, marked
        as repeated. The consumed rows and the checkpoint of a run's iteration are stored once as well.

        Raises:
            UnknownRunError: a build or checkpoint names a run that was not started.
            ValueError: the commit contradicts itself.
            StoreError: nothing of the commit is visible.
        """
        return self._committer.commit(commit)

    def receipts(self, run_id: str, *, iteration: int | None = None, event: Event | None = None) -> list[BuildReceipt]:
        """Return the receipts of a run's builds, ordered by iteration, event, sampler (as configured) and chunk.

        Args:
            run_id: the run.
            iteration: the iteration of the builds; None means all.
            event: the event of the builds; None means all.
        """
        found = self._catalog.read(
            f"""{RECEIPT_COLUMNS} WHERE run_id = ? AND (? IS NULL OR iteration = ?) AND (? IS NULL OR event = ?)
            ORDER BY iteration, event, sampler_order, chunk""",
            parameters=[run_id, iteration, iteration, event, event],
        )
        return [receipt_of(row) for row in found.to_pylist()]

    def build(self, build_id: str) -> StoredBuild:
        """Return a committed build with its arrays, for a resumed run that must not draw it again.

        Raises:
            UnknownBuildError: the build is not committed.
            ArraysError: its segment is missing or damaged.
        """
        return read_build(self._catalog, self._layout, build_id)

    def stage(self, build: Build) -> str:
        """Leave a build for another process to commit, and return the name by which ``staged`` reads it.

        The build is invisible, and does not count, until it is committed.

        Raises:
            StoreWriteError: the disk is full or failed.
        """
        self._open.writable()
        return stage_build(self._layout, build, self._open.sync)

    def staged(self, name: str) -> Build:
        """Return a build that ``stage`` left.

        Raises:
            ArraysError: the staged build is missing or damaged.
        """
        return read_staged(self._layout, name)

    def drop_staged(self, name: str) -> None:
        """Remove a build that ``stage`` left, if it exists."""
        drop_staged(self._layout, name)

    def record_scores(self, scores: Sequence[Score], *, run_id: str | None = None) -> int:
        """Commit scores at once: they are durable when this returns, even if the build that needs them fails.

        Returns:
            The number of new scores: a second good score of one molecule, component and version is not stored.
        """
        return scores_of.record_scores(self._open.writable(), scores, run_id)

    def hand_over_scores(self, scores: Sequence[Score], *, run_id: str | None = None) -> None:
        """Leave scores for any process of this host to commit by ``commit_handed_over``, without waiting for a lock.

        The scores are durable when this returns, and ``find_scores`` commits them before it looks one up. In a store
        for several hosts, they are committed at once instead.

        Raises:
            StoreWriteError: the disk is full or failed.
        """
        catalog = self._open.writable()
        if self._layout.backend != self._layout.sqlite:
            scores_of.record_scores(catalog, scores, run_id)
            return
        catalog.check_there()
        self._handed_over.add(scores, run_id)

    def commit_handed_over(self) -> int:
        """Commit the scores that processes of this host have handed over, including processes that have ended.

        Returns:
            The number of new scores.
        """
        return self._handed_over.commit(self._open.writable())

    def find_scores(
        self, component: str, version: str, smiles: Sequence[str], *, lost_in: str | None = None
    ) -> dict[str, Score]:
        """Return the known scores of molecules by SMILES: the newest good score, or else the newest failed one.

        Args:
            component: the name of the component.
            version: its version.
            smiles: canonical SMILES.
            lost_in: a run whose lost scores count as failed; molecules with lost scores of other runs are unknown.
        """
        # Before the look-up: a score that is no longer among those handed over has been committed.
        if self._open.is_writable and self._handed_over.has(component, version, smiles):
            self.commit_handed_over()
        return self._known_scores.find(component, version, smiles, lost_in)

    def known_molecules(self, smiles: Sequence[str], *, run_id: str | None = None) -> set[str]:
        """Return the molecules that are in the history already, kept or rejected.

        Args:
            smiles: canonical SMILES, standardised like the molecules of the campaign.
            run_id: the run whose history is searched; None means all runs.
        """
        # Without a run, only the column of molecules is read, which takes a second for 10,000,000 rows.
        of_run = "" if run_id is None else " WHERE build_id IN (SELECT build_id FROM {builds} WHERE run_id = ?)"
        found = self._catalog.read(
            f"SELECT smiles FROM wanted WHERE smiles IN (SELECT smiles FROM {{samples}}{of_run})",
            parameters=[] if run_id is None else [run_id],
            wanted=pa.table({"smiles": pa.array(smiles, pa.string())}),
        )
        return set(found["smiles"].to_pylist())

    def add_rewards(self, build_id: str, rewards: Sequence[Reward], run_id: str) -> int:
        """Add rewards to a committed build, for another objective or for rows whose reward was pending or failed.

        Returns:
            The number of new rewards. A good reward is final, since the hash of an objective covers everything that the
            reward depends on.

        Raises:
            UnknownBuildError: the build is not committed, or does not have a row.
        """
        return self.add_rewards_of_builds({build_id: rewards}, run_id)

    def add_rewards_of_builds(self, of_builds: Mapping[str, Sequence[Reward]], run_id: str) -> int:
        """Add rewards to several committed builds in one commit, as ``add_rewards`` does.

        Args:
            of_builds: the rewards by the id of the build.
            run_id: the run that the rewards belong to.
        """
        return scores_of.add_rewards(self._open.writable(), self.path, of_builds, run_id)

    def count_pending(
        self, run_id: str | None = None, *, objectives: Collection[str] | None = None
    ) -> list[PendingCount]:
        """Return the numbers of pending and formerly pending rewards, those that have waited longest first.

        Args:
            run_id: the run that drew the rows; None means every run.
            objectives: the sha256 of the objectives; None means every objective.
        """
        return pending.count_pending(self._catalog, run_id, objectives)

    def pending_rows(
        self,
        run_id: str | None = None,
        *,
        objectives: Collection[str] | None = None,
        most: int,
        put_off: Sequence[str] = (),
    ) -> list[PendingRow]:
        """Return rows with a pending reward, the oldest first, with the runs that drew them taking turns.

        Args:
            run_id: the run that drew the rows; None means every run.
            objectives: the sha256 of the objectives; None means every objective.
            most: the largest number of rows.
            put_off: molecules whose rows are left out.
        """
        return pending.pending_rows(self._catalog, run_id, objectives, most=most, put_off=put_off)

    def latest_checkpoint(self, run_id: str) -> StoredCheckpoint | None:
        """Return a run's checkpoint of the highest iteration whose files exist; None if there is no checkpoint."""
        return runs.latest_checkpoint(self._catalog, self._layout, run_id)

    def checkpoints(self, run_id: str | None = None) -> list[ListedCheckpoint]:
        """Return the checkpoints of a run, or of all runs, the newest first, and whether each is kept."""
        return runs.list_checkpoints(self._catalog, self._layout, run_id)

    def consumed(self, run_id: str, *, up_to_iteration: int | None = None) -> list[Consumed]:
        """Return the rows that were delivered to a training run, by iteration and then by build in row order.

        Args:
            run_id: the training run.
            up_to_iteration: the last iteration, inclusive; None means all.
        """
        return runs.consumed_rows(self._catalog, run_id, up_to_iteration)

    def bucketed_molecules(self, run_id: str) -> list[BucketedMolecule]:
        """Return the molecules that the diversity memory of a run counts, in the order in which it counted them."""
        return runs.bucketed_molecules(self._catalog, run_id)

    def snapshot(self) -> int:
        """Return the newest snapshot."""
        return self._catalog.newest()

    def snapshots(self) -> list[Snapshot]:
        """Return all readable snapshots, the oldest first, with their provenance and their pins."""
        return list_snapshots(self._catalog, self._layout)

    def at(self, snapshot: int) -> Self:
        """Return a read-only view of the store at a snapshot, without anything that was committed later.

        Its rows, builds, arrays, scores and runs are those of the snapshot. Its policies are those of the store, and
        checkpoints that a vacuum has removed since are missing. Closing the store closes the view.

        Raises:
            UnknownSnapshotError: the store does not have the snapshot, or no longer has it.
        """
        return type(self)(store_at(self._open, snapshot))

    @property
    def maintenance(self) -> Maintenance:
        """Compaction, expiry and vacuum of the store."""
        return Maintenance(self._open)

    def index(self, scope: IndexScope, *, cache: DecodedCache | None = None) -> HistoryIndex:
        """Return the index of the rows that a training may use, and decode the segments that the cache lacks.

        While an older index of the same scope is in use, only newer rows are read.

        Args:
            scope: the choice of rows.
            cache: the cache of decoded rows; None means the user's cache folder.

        Raises:
            PredicateError: the predicate of the scope is not a predicate over a row.
            ArraysError: a segment is missing or damaged.
            CacheError: the cache cannot be written.
            StoreError: the store has no such snapshot, or cannot be read.
        """
        return self._indexes.load(scope, cache)

    def archive(
        self,
        out: Path,
        *,
        runs: Sequence[str] = (),
        where: str | None = None,
        snapshot: int | None = None,
        terms: ArchiveTerms = ArchiveTerms(),
    ) -> ArchiveReceipt:
        """Make an archive of chosen rows of one snapshot, as ``storage.archive.make_archive`` does."""
        return make_archive(self._open, out, runs=runs, where=where, snapshot=snapshot, terms=terms)

    def export(
        self,
        out: Path,
        *,
        where: str | None = None,
        snapshot: int | None = None,
        molecules: bool = False,
        writer: RowWriter | None = None,
        memory_limit: str = "1GB",
    ) -> ExportReceipt:
        """Write the history of a snapshot, or its molecules, to a file, as ``storage.query.export_history`` does."""
        return export_history(
            self._open,
            out,
            where=where,
            snapshot=snapshot,
            molecules=molecules,
            writer=writer,
            memory_limit=memory_limit,
        )

    def best_molecules(
        self, n: int = 10, *, run: str | None = None, objective_sha256: str | None = None
    ) -> pl.DataFrame:
        """Return the n best molecules of each objective with their components, as
        ``storage.query.molecules.best_molecules`` does.
        """
        return best_molecules(self._open, n, run=run, objective_sha256=objective_sha256)

    def merge(self, archive: SampleStore) -> MergeReceipt:
        """Add the rows of an archive to this store, each once, as ``storage.archive.merge_archive`` does."""
        return merge_archive(self._open, archive._open)

    def read_arrow(
        self, sql: str, *, snapshot: int | None = None, parameters: Sequence[Any] | None = None, **tables: pa.Table
    ) -> pa.Table:
        """Return the result of trusted SQL of the package itself; use ``query`` for SQL of a user.

        Args:
            sql: the statement. It names the store's tables and views in braces, as in ``FROM {samples} AS samples JOIN
                {builds} AS builds USING (build_id)`` or ``FROM {sample_history}``; each is read at the snapshot. Other
                braces are left unchanged.
            snapshot: the snapshot to read; None means the newest, which is the same for the whole statement.
            parameters: the values for each ``?`` in the SQL.
            tables: Arrow tables that the SQL names without braces.

        Raises:
            UnknownSnapshotError: the store does not have the snapshot.
            StoreError: DuckDB refused the statement.
        """
        return self._catalog.read(sql, snapshot, parameters, **tables)

    def read_batches(
        self, sql: str, *, snapshot: int | None = None, parameters: Sequence[Any] | None = None, **tables: pa.Table
    ) -> Iterator[pa.RecordBatch]:
        """Yield the result of ``read_arrow`` in batches of rows, for results that do not fit into memory."""
        return self._catalog.read_batches(sql, snapshot, parameters, **tables)

    def query(
        self,
        sql: str,
        parameters: Parameters = (),
        *,
        snapshot: int | None = None,
        timeout_seconds: float = 60,
        memory_limit: str = "2GB",
    ) -> pl.DataFrame:
        """Return the result of one SELECT of a user over the tables and views of a snapshot; by default the newest.

        No statement can write, attach, install, or read a file that is not part of the snapshot: it runs on a
        connection of its own that has no catalog, only views over the Parquet files of the snapshot.

        Args:
            sql: the statement.
            parameters: the values for each ``?``, or by name for each ``$name``, in the statement.
            snapshot: the snapshot to read; None means the newest.
            timeout_seconds: the time limit in seconds, after which the query is ended.
            memory_limit: the limit for the query, and again for its result, as a size for DuckDB such as "2GB".

        Raises:
            QueryRefusedError: the text is not exactly one statement that reads.
            QueryTimeoutError: the query took longer than ``timeout_seconds``.
            QueryTooLargeError: the query or its result needs more than ``memory_limit``.
            QueryError: DuckDB could not execute the query.
            UnknownSnapshotError: the store has no such snapshot.
        """
        found = self.query_table(
            sql, parameters, snapshot=snapshot, timeout_seconds=timeout_seconds, memory_limit=memory_limit
        )
        return frame(found)

    def query_table(
        self,
        sql: str,
        parameters: Parameters = (),
        *,
        snapshot: int | None = None,
        timeout_seconds: float = 60,
        memory_limit: str = "2GB",
    ) -> pa.Table:
        """Return the result of ``query`` as an Arrow table, without a copy.

        Unlike a frame, the table may have two columns of one name, sums of integers as decimals, and times that Python
        cannot represent.
        """
        limits = queries.QueryLimits(timeout_seconds, memory_limit)
        version = self.snapshot() if snapshot is None else snapshot
        return queries.run_query(self._catalog, sql, version, limits, parameters)

    def history(self, *, snapshot: int | None = None, memory_limit: str = "2GB") -> pl.LazyFrame:
        """Return the view ``sample_history`` of a snapshot as a lazy polars frame, in no particular order of rows.

        Only the columns that a query selects are read, and where possible only the rows that pass its filters. The
        store must be open when the frame is collected.

        Args:
            snapshot: the snapshot to read; None means the newest at this moment.
            memory_limit: the memory that reading may take, as a size for DuckDB such as "2GB".

        Raises:
            UnknownSnapshotError: the store has no such snapshot.
        """
        limits = queries.QueryLimits(memory=memory_limit)
        return lazy_history(self._catalog, self.snapshot() if snapshot is None else snapshot, limits)

    def attach_sql(self) -> str:
        """Return the statements with which any DuckDB of this release attaches the store for reading, as ``molbuffer``.

        The attachment never blocks writers. Unlike ``query``, it does not protect the store from the statements that
        are run there: DuckLake's maintenance functions delete files even through a read-only attachment.
        """
        in_utc = ";\n".join(SESSION)
        if self.archived:
            return f"{in_utc};\n{self._catalog.attach_sql('molbuffer', read_only=True)};\nUSE molbuffer;"
        load = load_sql(["ducklake", *self._layout.backend.extensions])
        attach = self._catalog.attach_sql("molbuffer", read_only=True)
        return f"{load}\n{in_utc};\n{reach_sql(self._layout.tables)}{attach};\nUSE molbuffer;"

    def verify(self, *, quick: bool = False) -> VerifyReport:
        """Check everything that can be checked in the newest snapshot, while other processes read and write.

        ``molbuffer.storage.verify.verify.verify_store`` does the same, also for a store that cannot be opened.

        Args:
            quick: whether to check names, sizes and descriptions only, without decoding arrays or hashing files.
        """
        return verify_store(self.path, quick=quick)

    def quarantine(self, reasons: Mapping[str, str]) -> QuarantineReceipt:
        """Exclude the builds whose arrays are in damaged segments from training; nothing is deleted.

        Args:
            reasons: the damage of each segment, by the name of the segment, as in ``VerifyReport.damaged_segments``.

        Raises:
            ArraysError: no build has arrays in one of the named segments.
            StoreModeError: the store was opened for reading.
        """
        return quarantine(self._open.writable(), reasons)

    def matching_rows(self, where: str, snapshot: int | None = None) -> pa.Table:
        """Return the rows (build_id, row) of ``sample_history`` for which a user's predicate is true, in row order.

        Raises:
            PredicateError: the text is not one boolean expression over a row.
            UnknownSnapshotError: the store has no such snapshot.
        """
        return queries.matching_rows(self._catalog, where, self.snapshot() if snapshot is None else snapshot)
