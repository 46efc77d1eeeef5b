"""The rows of an offline training: of the store that it writes to, of other stores, and of archives.

The rows of several sources are one index, in the order of the sources; a row that is in several sources counts once. A
run records the identity and the snapshot of each source, and a resumed run must have the same sources.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pyarrow as pa

from molbuffer.lab.offline.plan import ValidationPlan
from molbuffer.lab.offline.split import Split, split_rows
from molbuffer.samplers import Vocabulary, expressible
from molbuffer.storage import (
    ArchiveLimits,
    HistoryIndex,
    IndexScope,
    RunConflictError,
    SampleStore,
    StoreModeError,
    StoreNotFoundError,
    UnknownRunError,
    is_archive,
    join_indexes,
    trusted_archive,
)
from molbuffer.training import BatchShortError

Identity = Mapping[str, str | int]
"""The identity of a source and its snapshot, as in the record of a run."""


_REWARDED = """
    SELECT 1 FROM {rewards} AS rewards [matching] WHERE objective_sha256 = ? AND status = 'ok'
        AND rewards.build_id NOT IN (SELECT build_id FROM {builds} WHERE event = 'evaluation') LIMIT 1 """
_MATCHING = """SEMI JOIN matching ON matching.build_id = rewards.build_id AND matching."row" = rewards."row" """


@dataclass(frozen=True)
class RowSource:
    """A source of stored rows, at a snapshot.

    Attributes:
        store: the store or the archive with the rows.
        snapshot: the snapshot; None is the snapshot that the run pins in its own store.
        identity: the identity of the source, for the record of the run; None is the run's own store.
    """

    store: SampleStore
    snapshot: int | None = None
    identity: Identity | None = None

    @property
    def is_own(self) -> bool:
        """Whether the source is the store that the run writes to."""
        return self.identity is None


@dataclass(frozen=True)
class OfflineRows:
    """The sources of an offline training, in the order of their rows.

    Attributes:
        sources: the sources, at least one.
    """

    sources: tuple[RowSource, ...]

    def record(self, selection: Mapping[str, object]) -> str:
        """Return the record of the rows of a run as JSON: the selection, and the identities of the sources."""
        known = [None if source.identity is None else dict(source.identity) for source in self.sources]
        return json.dumps(selection if known == [None] else {**selection, "sources": known})


@contextmanager
def opened_rows(own: SampleStore | None, sources: Sequence[str], limits: ArchiveLimits) -> Iterator[OfflineRows]:
    """Open the sources of rows as a context; archives are checked, and tar files are unpacked for its duration.

    Args:
        own: the store for the run and its policy; None if it is made later, which requires ``sources``.
        sources: the paths of archives and stores, in the order of their rows; empty is ``own`` alone.
        limits: the limits on the size of each archive.

    Raises:
        StoreModeError: ``own`` is an archive.
        ArchiveError: an archive is damaged, or its content differs from its manifest.
        StoreError: a store cannot be opened.
        ValueError: two sources are the same.
    """
    if own is not None:
        refuse_archive(own)
    with ExitStack() as opened:
        places = [Path(source).resolve() for source in sources]
        for place in places:
            if places.count(place) > 1:
                raise ValueError(f"{place} is named twice as a source of rows: name it once")
        found = [_opened(own, place, limits, opened) for place in places]
        yield OfflineRows(tuple(found) if own is None or found else (RowSource(own),))


def _opened(own: SampleStore | None, path: Path, limits: ArchiveLimits, opened: ExitStack) -> RowSource:
    if own is not None and path == own.path:
        return RowSource(own)
    if path.is_dir() and not is_archive(path):
        store = opened.enter_context(SampleStore.open(path, read_only=True))
        version = store.snapshot()
        return RowSource(store, version, {"uuid": store.uuid, "snapshot": version})
    if not path.exists():
        raise StoreNotFoundError(f"there is no store and no archive at {path}: name the folder of one, or a tar file")
    archive, manifest = opened.enter_context(trusted_archive(path, limits))
    version = archive.snapshot()
    identity: dict[str, str | int] = {"uuid": manifest.uuid, "snapshot": version, "content": archive.cache_key}
    identity |= {"source_uuid": manifest.source_uuid, "source_snapshot": manifest.snapshot}
    return RowSource(archive, version, identity)


def refuse_no_rows(rows: OfflineRows, objective_sha256: str, where: str | None, snapshot: int | None) -> None:
    """Check before a run begins that some row of its sources has a reward under the objective.

    Args:
        rows: the sources.
        objective_sha256: the objective.
        where: an SQL condition on ``sample_history``; None is all rows.
        snapshot: the snapshot to read of a source that has none; None is the newest.

    Raises:
        BatchShortError: no row has such a reward.
    """
    for source in rows.sources:
        at = snapshot if source.snapshot is None else source.snapshot
        at = source.store.snapshot() if at is None else at
        matching = {} if where is None else {"matching": source.store.matching_rows(where, at)}
        sql = _REWARDED.replace("[matching]", _MATCHING if matching else "")
        if source.store.read_arrow(sql, snapshot=at, parameters=[objective_sha256], **matching).num_rows:
            return
    condition = "" if where is None else f" and fulfils the condition {where!r}"
    raise BatchShortError(
        f"no stored row has a reward under the objective{condition}: take the objective of the rows, or score "
        'their molecules under this objective first, with relabel = "cheap" of [offline] or with judging=Judging('
        'relabel="cheap") in Python'
        + ("" if where is None else ", or another condition")
        + (f"; {waiting}" if (waiting := pending_text(rows, objective_sha256)) else ""),
        wanted=1,
        available=0,
    )


def pending_text(rows: OfflineRows, objective_sha256: str) -> str:
    """Return a message about pending rows, which are left out of a training; empty if there are none.

    Args:
        rows: the sources.
        objective_sha256: the objective.
    """
    counts = (each for source in rows.sources for each in source.store.count_pending(objectives=[objective_sha256]))
    waiting = sum(each.rows for each in counts)
    advice = f"`molbuffer score-pending --store {rows.sources[0].store.path}` scores them"
    return f"{waiting} rows are pending under the objective, and are left out: {advice}" if waiting else ""


def refuse_archive(own: SampleStore) -> None:
    """Check that the store of a run is not an archive.

    Raises:
        StoreModeError: the store is an archive.
    """
    if own.archived:
        raise StoreModeError(
            f"{own.path} is an archive, and no run or policy can be written there: name a store for the run and its "
            f"policy; an offline training reads the rows from the archive, as in --store DIR --from {own.path}"
        )


def rows_of_run(store: SampleStore, run_id: str, rows: OfflineRows) -> OfflineRows:
    """Return the rows that a run reads; if the run has begun before, at the snapshots at which it began.

    Raises:
        RunConflictError: the run began with other sources.
    """
    try:
        recorded = json.loads(store.run(run_id).selection or "{}")
    except UnknownRunError:
        return rows
    # Runs of earlier releases have at most one archive.
    began = recorded.get("sources") or [recorded.get("archive")]
    if list(map(_who, began)) != [_who(source.identity) for source in rows.sources]:
        named = ", ".join("its own store" if each is None else f"the source {each['uuid']}" for each in began)
        raise RunConflictError(
            f"run {run_id} began with the rows of {named}, in this order: name the same with --from"
            + (f", and {store.path} for its own store" if None in began and len(began) > 1 else "")
            + ("; leave --from out" if began == [None] else "")
        )
    pairs = zip(rows.sources, began, strict=True)
    return OfflineRows(
        tuple(
            source if then is None else replace(source, snapshot=int(then["snapshot"]), identity=then)
            for source, then in pairs
        )
    )


def _who(identity: Identity | None) -> Identity | None:
    """Return the part of an identity that may not change: of a store, which grows, all but the snapshot."""
    if identity is None or "content" in identity:
        return identity
    return {"uuid": identity["uuid"]}


@dataclass
class PinnedRows:
    """The rows of all sources at their snapshots, split into the training part and the held-out part.

    Attributes:
        rows: the sources.
        own_snapshot: the snapshot of the run's own store.
        vocabulary: the vocabulary of the policy in training; rows that it cannot express are left out.
        validation: the settings of the split.
        seed: the seed of the split.
        more_rewards: for each source, rewards that it does not have, as for ``IndexScope``; empty adds none.
        chosen: all rows, and their parts; None before they are read.
    """

    rows: OfflineRows
    own_snapshot: int
    vocabulary: Vocabulary
    validation: ValidationPlan = ValidationPlan()
    seed: int = 0
    more_rewards: Sequence[pa.Table | None] = ()
    chosen: Split | None = field(default=None, init=False)

    def snapshot(self) -> int:
        """Return the snapshot of the first source."""
        first = self.rows.sources[0].snapshot
        return self.own_snapshot if first is None else first

    def index(self, scope: IndexScope) -> HistoryIndex:
        """Return the rows of the training part; the snapshots of the scope are ignored.

        Raises:
            ValidationError: the rows cannot be split.
        """
        return self.split(scope).learned

    def split(self, scope: IndexScope) -> Split:
        """Return all rows, and the training and held-out parts; the first call reads and splits them.

        Raises:
            ValidationError: the rows cannot be split.
        """
        if self.chosen is None:
            whole = join_indexes([self._of(number, scope) for number in range(len(self.rows.sources))])
            whole = expressible(whole, self.vocabulary, unparseable=scope.include_unparseable)
            self.chosen = split_rows(whole, self.validation, self.seed)
        return self.chosen

    def _of(self, number: int, scope: IndexScope) -> HistoryIndex:
        source = self.rows.sources[number]
        snapshot = self.own_snapshot if source.snapshot is None else source.snapshot
        more = self.more_rewards[number] if self.more_rewards else None
        return source.store.index(replace(scope, snapshot=snapshot, foreign_snapshot=None, more_rewards=more))
