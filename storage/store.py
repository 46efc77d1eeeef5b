"""The store: runs, builds, scores, policies and checkpoints of all campaigns, in one folder that survives crashes.

    STORE/
      store.toml            format, uuid, catalog, data path (relative, so that the folder can move)
      catalog.sqlite        the DuckLake catalog: which rows and files exist at which snapshot
      tables/…/*.parquet    the rows of the tables of ``schema``
      arrays/<segment>/     one immutable Zarr group per commit: tokens, lengths, log-probs, latents, sources
      policies/<sha256>/    the weights of kept policies, named by their content
      checkpoints/<run>/    the files of each checkpoint of a training run
      journal.jsonl         which Parquet files each snapshot added, so that a lost catalog can be made anew
      claims.sqlite         who is computing which expensive score
      backups/              the catalog as it was before each migration, and as it was at the last maintenances
      handed-over/          scores that wait to be committed
      commit.lock           held by the process that commits
      waiting/              the commits that wait for their turn

For several hosts, the catalog is in a Postgres database, and tables, arrays, policies and checkpoints are in a shared
folder or under a prefix of an object store; the folder then has store.toml, which says where. Any number of processes
and threads, of one host or of all of them, read and write it at once. Every commit makes a new *snapshot*, a version
of the store, and what was visible at one stays readable as of it.
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

    Whatever a method calls inside, it raises a ``StoreError``, or a ``ValueError`` where its arguments are wrong.

    Attributes:
        path: the folder.
        uuid: its identity, which a copy shares.
        cache_key: the name of its decoded cache: its uuid, or of an archive a name that follows from its content.
        read_only: whether it was opened for reading, or is an archive.
        archived: whether it is an archive.
        policies: the policies whose weights it keeps.
        claims: who is computing which expensive score.
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

        For several hosts, each has a folder of its own: made with the address of a catalog that is there already, it
        leads to the store that this has.

        Args:
            catalog: ``sqlite:catalog.sqlite`` in the folder, or ``postgres://user@host/database``, without password.
            catalog_schema: the schema of that database which the store is, or will be, in.
            data_path: where tables, arrays, policies and checkpoints are: a folder, or ``s3://bucket/prefix``.
            sync: makes files and directories durable.

        Raises:
            StoreExistsError: there is something at ``path`` or at ``data_path`` already.
            StorePlaceError: a place cannot hold a store, or an address is none.
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
        """Open a store, wherever its folder was moved; an archive is opened for reading.

        Args:
            migrations: those that it must have had, and no others.

        Raises:
            StoreNotFoundError: there is none.
            StoreFormatError: it is damaged, of a newer release, or of an older one and to be migrated first.
            CatalogLostError: it has its data and not its catalog; ``recover_store`` makes that anew.
            CatalogDamagedError: its catalog is damaged; the same does.
            StorePlaceError: it is to be written to on a network file system.
        """
        root = Path(path).resolve()
        return cls(open_store(root, read_only=read_only, sync=sync, migrations=migrations))

    @classmethod
    def open_or_create(cls, path: str | Path) -> Self:
        """Open the store at a path, or make one in that folder; processes that race to make it share one."""
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
        """Detach the catalog; closing twice is no error."""
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
        """The writer of commits, which remembers which runs were started."""
        return Committer(self._open.writable(), self._layout, self._open.sync)

    def start_run(self, run: Run, *, accept: AcceptConfig | None = None) -> RunStatus:
        """Record that a run starts, or starts again.

        Args:
            run: the run.
            accept: judges another configuration than the run had; None accepts none.

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
            UnknownRunError: it never started.
        """
        runs.finish_run(self._open.writable(), self.run(run_id), status, detail)

    def record_given(self, run_id: str, given: str) -> None:
        """Record what a run at work was given for a build or a training, as JSON, beside its configuration.

        Raises:
            UnknownRunError: it never started.
        """
        runs.record_given(self._open.writable(), self.run(run_id), given)

    def given(self, run_id: str) -> list[str]:
        """Return what ``record_given`` has recorded of a run, the oldest first."""
        return runs.given_to(self._catalog, run_id)

    @contextmanager
    def recorded_run(self, run: Run, *, accept: AcceptConfig | None = None) -> Iterator[RunStatus]:
        """Record the life of a run around the work on it: started or resumed, then finished, failed with its error, or
        interrupted by a signal.

        Gives STARTED, or RESUMED when the run id is known; arguments and errors are those of ``start_run``. The detail
        of a finished run is what ``note_ending`` was told.
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
        """Record what another objective of a run is made of, unless that is known."""
        runs.record_objective(self._open.writable(), sha256, definition)

    def note_ending(self, run_id: str, reason: str | None) -> None:
        """Remember why a recorded run will finish, such as a budget that is used up; None is that all is done."""
        self._endings[run_id] = reason

    def interrupt_runs(self) -> list[str]:
        """Record the runs that this process began and has not ended as interrupted, as a signal ends it.

        Returns:
            Their ids, and those of the runs of this process that are recorded as interrupted already, the newest last.
        """
        return runs.interrupt_runs(self._open.writable())

    def run(self, run_id: str) -> Run:
        """Return the only run whose id is, or starts with, ``run_id``.

        Raises:
            UnknownRunError: there is none, or more than one.
        """
        return runs.find_run(self._catalog, self.path, run_id)

    def commit(self, commit: Commit) -> CommitReceipt:
        """Make builds, scores, policies, consumed rows, metrics and a checkpoint visible together, durably.

        Any thread may commit. A build that is committed already is not stored again: its receipt is returned, marked
        as repeated. Consumed rows and checkpoint of a run's iteration count once, too.

        Raises:
            UnknownRunError: a build or checkpoint names a run that was not started.
            ValueError: the commit contradicts itself.
            StoreError: nothing of the commit is visible.
        """
        return self._committer.commit(commit)

    def receipts(self, run_id: str, *, iteration: int | None = None, event: Event | None = None) -> list[BuildReceipt]:
        """Return the receipts of a run's builds, ordered by iteration, event, sampler as configured, and chunk."""
        found = self._catalog.read(
            f"""{RECEIPT_COLUMNS} WHERE run_id = ? AND (? IS NULL OR iteration = ?) AND (? IS NULL OR event = ?)
            ORDER BY iteration, event, sampler_order, chunk""",
            parameters=[run_id, iteration, iteration, event, event],
        )
        return [receipt_of(row) for row in found.to_pylist()]

    def build(self, build_id: str) -> StoredBuild:
        """Return a committed build with its arrays, for a resumed run that must not draw it again.

        Raises:
            UnknownBuildError: it is not committed.
            ArraysError: its segment is missing or damaged.
        """
        return read_build(self._catalog, self._layout, build_id)

    def stage(self, build: Build) -> str:
        """Leave a build for another process to commit, and return the name under which it finds it by ``staged``.

        Nothing of it is visible, and it does not count, until it is committed.

        Raises:
            StoreWriteError: the disk is full or failed.
        """
        self._open.writable()
        return stage_build(self._layout, build, self._open.sync)

    def staged(self, name: str) -> Build:
        """Return a build that was left by ``stage``.

        Raises:
            ArraysError: it is not there, or damaged.
        """
        return read_staged(self._layout, name)

    def drop_staged(self, name: str) -> None:
        """Remove what ``stage`` left, if it is there."""
        drop_staged(self._layout, name)

    def record_scores(self, scores: Sequence[Score], *, run_id: str | None = None) -> int:
        """Commit scores at once: each is durable when this returns, whatever becomes of the build that asked for it.

        Returns:
            How many were new: a second good score of one molecule, component and version is not stored.
        """
        return scores_of.record_scores(self._open.writable(), scores, run_id)

    def hand_over_scores(self, scores: Sequence[Score], *, run_id: str | None = None) -> None:
        """Leave scores for any process of this host to commit by ``commit_handed_over``, without a wait for others.

        They are durable when this returns, and whoever looks one up commits it first. Where several hosts have the
        store, they are committed at once.

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
        """Commit the scores that processes of this host have handed over, whether they live or not.

        Returns:
            How many were new.
        """
        return self._handed_over.commit(self._open.writable())

    def find_scores(
        self, component: str, version: str, smiles: Sequence[str], *, lost_in: str | None = None
    ) -> dict[str, Score]:
        """Return the known scores of molecules by SMILES: of each the newest good one, else the newest failed one.

        Args:
            component: the name of the component.
            version: its version.
            smiles: canonical SMILES.
            lost_in: a run whose lost scores count as failed ones; others are unknown.
        """
        # First, since what is not there any more has been committed.
        if self._open.is_writable and self._handed_over.has(component, version, smiles):
            self.commit_handed_over()
        return self._known_scores.find(component, version, smiles, lost_in)

    def known_molecules(self, smiles: Sequence[str], *, run_id: str | None = None) -> set[str]:
        """Return which of some molecules were drawn before, whether kept or not; the others are new to the history.

        Args:
            smiles: canonical SMILES, standardised as the campaign's are.
            run_id: whose history; None is that of all runs.
        """
        # Without a run, no column but the molecules is read: of 10,000,000 rows, that takes a second already.
        of_run = "" if run_id is None else " WHERE build_id IN (SELECT build_id FROM {builds} WHERE run_id = ?)"
        found = self._catalog.read(
            f"SELECT smiles FROM wanted WHERE smiles IN (SELECT smiles FROM {{samples}}{of_run})",
            parameters=[] if run_id is None else [run_id],
            wanted=pa.table({"smiles": pa.array(smiles, pa.string())}),
        )
        return set(found["smiles"].to_pylist())

    def add_rewards(self, build_id: str, rewards: Sequence[Reward], run_id: str) -> int:
        """Add rewards to a committed build: of another objective, or of rows whose reward was pending or failed.

        Returns:
            How many were new: a good reward is final, since an objective's hash says all that it depends on.

        Raises:
            UnknownBuildError: the build is not committed, or has no such row.
        """
        return self.add_rewards_of_builds({build_id: rewards}, run_id)

    def add_rewards_of_builds(self, of_builds: Mapping[str, Sequence[Reward]], run_id: str) -> int:
        """Add rewards to several committed builds in one commit, as ``add_rewards`` does.

        Args:
            of_builds: the rewards by the id of the build.
            run_id: the run that they belong to.
        """
        return scores_of.add_rewards(self._open.writable(), self.path, of_builds, run_id)

    def count_pending(
        self, run_id: str | None = None, *, objectives: Collection[str] | None = None
    ) -> list[PendingCount]:
        """Return how many rewards are, and were, to come, those that have waited for longest first.

        Args:
            run_id: the run that drew the rows; None is every one.
            objectives: the sha256 of the objectives; None is every one.
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
        """Return rows whose reward is still to come: the oldest first, and in turns of the runs that drew them.

        Args:
            run_id: the run that drew the rows; None is every one.
            objectives: the sha256 of the objectives; None is every one.
            most: the most rows.
            put_off: molecules whose rows are left out.
        """
        return pending.pending_rows(self._catalog, run_id, objectives, most=most, put_off=put_off)

    def latest_checkpoint(self, run_id: str) -> StoredCheckpoint | None:
        """Return a run's checkpoint of the highest iteration whose files are there; None before the first."""
        return runs.latest_checkpoint(self._catalog, self._layout, run_id)

    def checkpoints(self, run_id: str | None = None) -> list[ListedCheckpoint]:
        """Return the checkpoints of a run, or of all runs, the newest first, and whether each is kept."""
        return runs.list_checkpoints(self._catalog, self._layout, run_id)

    def consumed(self, run_id: str, *, up_to_iteration: int | None = None) -> list[Consumed]:
        """Return the rows that were delivered to a training run, by iteration and then by build in row order.

        Args:
            up_to_iteration: the last iteration that counts; None is all.
        """
        return runs.consumed_rows(self._catalog, run_id, up_to_iteration)

    def bucketed_molecules(self, run_id: str) -> list[BucketedMolecule]:
        """Return the molecules that the diversity memory of a run counts, in the order in which it counted them."""
        return runs.bucketed_molecules(self._catalog, run_id)

    def snapshot(self) -> int:
        """Return the newest snapshot."""
        return self._catalog.newest()

    def snapshots(self) -> list[Snapshot]:
        """Return all snapshots that can be read, the oldest first, with their provenance and what pins them."""
        return list_snapshots(self._catalog, self._layout)

    def at(self, snapshot: int) -> Self:
        """Return the store as of a snapshot, for reading: nothing that was committed later is in it.

        Its rows, builds, arrays, scores and runs are those of the snapshot. Policies are named by their content, and
        checkpoints removed since by a vacuum are not there. It ends with the store from which it was made.

        Raises:
            UnknownSnapshotError: the store has no such snapshot, or no longer.
        """
        return type(self)(store_at(self._open, snapshot))

    @property
    def maintenance(self) -> Maintenance:
        """Compaction, expiry and vacuum of the store."""
        return Maintenance(self._open)

    def index(self, scope: IndexScope, *, cache: DecodedCache | None = None) -> HistoryIndex:
        """Read the index of the rows that a training may use, and decode the segments that are not in the cache yet.

        While an older index of the same rows is in use, only what is new since is read.

        Args:
            scope: which rows.
            cache: where decoded rows are kept; None is the user's cache folder.

        Raises:
            PredicateError: the predicate of the scope is no predicate over a row.
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
        """Make an archive of chosen rows of one version, as ``storage.archive.make_archive`` does."""
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
        """Write the history of a version, or its molecules, to a file, as ``storage.query.export_history`` does."""
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
        """Bring the rows of an archive into this store, each once, as ``storage.archive.merge_archive`` does."""
        return merge_archive(self._open, archive._open)

    def read_arrow(
        self, sql: str, *, snapshot: int | None = None, parameters: Sequence[Any] | None = None, **tables: pa.Table
    ) -> pa.Table:
        """Return the result of trusted SQL, for the package itself; SQL of a user goes to ``query``.

        Args:
            sql: names the store's tables and views in braces, as ``FROM {samples} AS samples JOIN {builds} AS builds
                USING (build_id)`` or ``FROM {sample_history}``; each is read as of the snapshot. A name may be given
                an alias; without one, give none to a view. Other braces are left alone.
            snapshot: the snapshot to read; None is the newest, the same for the whole statement.
            parameters: for each ``?`` in the SQL.
            tables: Arrow tables that the SQL names without braces.

        Raises:
            UnknownSnapshotError: the store has no such snapshot.
            StoreError: DuckDB refused the statement.
        """
        return self._catalog.read(sql, snapshot, parameters, **tables)

    def read_batches(
        self, sql: str, *, snapshot: int | None = None, parameters: Sequence[Any] | None = None, **tables: pa.Table
    ) -> Iterator[pa.RecordBatch]:
        """Yield the result of ``read_arrow`` a portion of rows at a time, for results too large to hold as a whole."""
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
            parameters: values for each ``?`` in it, or by their names for each ``$name``.
            snapshot: the snapshot to read; None is the newest.
            timeout_seconds: the seconds after which the query is ended.
            memory_limit: for the query, and again for its result; as DuckDB writes sizes.

        Raises:
            QueryRefusedError: the text is not exactly one statement that reads.
            QueryTimeoutError: it took longer than ``timeout_seconds``.
            QueryTooLargeError: the query or its result needs more than ``memory_limit``.
            QueryError: DuckDB could not execute it.
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
        """Return the result of ``query`` as the Arrow table that it is read as, without a copy.

        Unlike a frame, it may have two columns of one name, sums of integers as decimals, and times that Python has
        not.
        """
        limits = queries.QueryLimits(timeout_seconds, memory_limit)
        version = self.snapshot() if snapshot is None else snapshot
        return queries.run_query(self._catalog, sql, version, limits, parameters)

    def history(self, *, snapshot: int | None = None, memory_limit: str = "2GB") -> pl.LazyFrame:
        """Return the view ``sample_history`` of a snapshot as a lazy polars frame, in no particular order of rows.

        Only the columns that a query selects, and as far as they can be told the rows that it filters, are read. The
        store must be open when the frame is collected.

        Args:
            snapshot: the snapshot to read; None is the newest at this moment.
            memory_limit: of what reading may take; as DuckDB writes sizes.

        Raises:
            UnknownSnapshotError: the store has no such snapshot.
        """
        limits = queries.QueryLimits(memory=memory_limit)
        return lazy_history(self._catalog, self.snapshot() if snapshot is None else snapshot, limits)

    def attach_sql(self) -> str:
        """Return the statements with which any DuckDB of this release attaches the store for reading, as ``molbuffer``.

        However long it stays attached, writers are not held up. Unlike ``query``, it does not protect the store from
        what is typed there: DuckLake's maintenance functions delete files through a read-only attachment, too.
        """
        in_utc = ";\n".join(SESSION)
        if self.archived:
            return f"{in_utc};\n{self._catalog.attach_sql('molbuffer', read_only=True)};\nUSE molbuffer;"
        load = load_sql(["ducklake", *self._layout.backend.extensions])
        attach = self._catalog.attach_sql("molbuffer", read_only=True)
        return f"{load}\n{in_utc};\n{reach_sql(self._layout.tables)}{attach};\nUSE molbuffer;"

    def verify(self, *, quick: bool = False) -> VerifyReport:
        """Checks everything that can be checked of the newest version, while others read and write.

        ``molbuffer.storage.verify.verify.verify_store`` does the same, also for a store that cannot be opened.

        Args:
            quick: look at names, sizes and descriptions only: no array is decoded, no file is hashed.
        """
        return verify_store(self.path, quick=quick)

    def quarantine(self, reasons: Mapping[str, str]) -> QuarantineReceipt:
        """Exclude the builds whose arrays lie in damaged segments from training; nothing is deleted.

        Args:
            reasons: what is wrong with each segment, by its name, as ``VerifyReport.damaged_segments`` says.

        Raises:
            ArraysError: no build has arrays in a segment that is named.
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
