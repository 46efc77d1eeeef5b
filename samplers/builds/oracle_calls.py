"""The oracle calls of a run: the different molecules that it asks its objective for, and the budget of them.

A molecule costs one call when the run asks for it first, whether its score is computed or found in the store, and
nothing when the run draws it again. The calls follow from the stored rows of the run: they are the molecules of rows
that are kept or rejected by ``improvement``, which needs scores, and the sources of such pairs. So the count is the
same after a kill, and in every process.

Rows are judged in row order. A row whose molecules do not fit into the budget is rejected by ``budget`` and not scored.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import KW_ONLY, dataclass, field

import pyarrow as pa

from molbuffer.scoring import IMPROVEMENT
from molbuffer.storage import ACTORS_OF_RUN, RUN_AND_ACTORS, Event, SampleStore

BUDGET = "budget"
"""The reason that rejects a molecule for which the budget has no oracle call left."""

MOST_OF_A_ROW = 2
"""The largest number of molecules that a row needs: the two ends of a pair."""

_BEFORE = """b.run_id = ? AND (
    b.iteration < ?
    OR (b.iteration = ? AND b.event = 'build_buffer'
        AND (? = 'sample_batch' OR (b.sampler_order, b.chunk) < (?, ?))))"""
_OF_FAMILY = f"b.run_id IN {RUN_AND_ACTORS}"
_ASKED = """
    WITH judged AS (
        SELECT s.smiles, s.source_smiles FROM {samples} AS s JOIN {builds} AS b USING (build_id)
        WHERE (s.kept OR s.rejected_by = ?) AND [which]
    )
    SELECT smiles FROM judged UNION SELECT source_smiles FROM judged WHERE ? AND source_smiles IS NOT NULL"""
_COUNT = "SELECT count(*) AS n FROM ([asked])"
_WANTED = "SELECT smiles FROM ([asked]) SEMI JOIN wanted USING (smiles)"
_REFUSED = """
    SELECT count(*) AS n FROM {samples} AS s JOIN {builds} AS b USING (build_id)
    WHERE b.run_id = ? AND b.iteration = ? AND s.rejected_by = ?"""

_REFUSED_OF_ACTORS = """
    SELECT 1 AS refused FROM {samples} AS s JOIN {builds} AS b USING (build_id)
    WHERE s.rejected_by = ? AND b.run_id IN [actors] LIMIT 1""".replace("[actors]", ACTORS_OF_RUN)


@dataclass
class OracleCalls:
    """The oracle calls of a run so far, committed or not.

    Attributes:
        limit: the budget, the largest number of calls of the run; None is no limit.
        count: the number of calls so far.
    """

    limit: int | None = None
    _: KW_ONLY
    count: int = 0
    _asked: set[str] = field(default_factory=set)
    _earlier: Callable[[Collection[str]], Collection[str]] = lambda _: ()
    _iteration: int = -1
    _in_iteration: list[str] = field(default_factory=list)
    _refused: bool = False

    def __post_init__(self) -> None:
        if self.limit is not None and self.limit < 1:
            raise ValueError(f"a budget has at least 1 oracle call, got {self.limit}")

    @property
    def used_up(self) -> bool:
        """Whether the budget has no call left, or has refused rows and has too few calls left for a pair."""
        if self.limit is None:
            return False
        left = self.limit - self.count
        return left <= 0 or (self._refused and left < MOST_OF_A_ROW)

    def admit(self, rows: Sequence[Sequence[str]]) -> list[bool]:
        """Return for each row, in order, whether it fits into the budget, and count the molecules of those that fit.

        Args:
            rows: the canonical SMILES that the score of each row needs: one, or both ends of a pair.
        """
        known = self._known({text for row in rows for text in row})
        admitted = []
        for row in rows:
            new = [text for text in dict.fromkeys(row) if text not in known]
            fits = self.limit is None or self.count + len(new) <= self.limit
            if fits:
                known.update(new)
                self._add(new)
            else:
                self._refused = True
            admitted.append(fits)
        return admitted

    def begin(self, iteration: int) -> None:
        """Begin an iteration, to which all further live draws belong."""
        if iteration != self._iteration:
            self._iteration, self._in_iteration, self._refused = iteration, [], False

    def asked_in(self, iteration: int) -> tuple[str, ...]:
        """Return the molecules that the live draws of an iteration have asked for first so far."""
        return tuple(self._in_iteration) if iteration == self._iteration else ()

    def _known(self, molecules: set[str]) -> set[str]:
        known = molecules & self._asked
        return known | set(self._earlier(molecules - known))

    def _add(self, new: Sequence[str]) -> None:
        self._asked.update(new)
        self._in_iteration += new
        self.count += len(new)


@dataclass
class CallsOfTraining(OracleCalls):
    """The oracle calls of a run for its training; the molecules are kept in memory.

    Attributes:
        store: the store of the run.
        run_id: the run.
        pairs: whether the sources of pairs are scored.
    """

    _: KW_ONLY
    store: SampleStore
    run_id: str
    pairs: bool = False

    def read(self, iteration: int, event: Event) -> None:
        """Add the molecules of the committed builds before the builds of an event of an iteration."""
        parameters = [IMPROVEMENT, self.run_id, iteration, iteration, event.value, 0, 0, self.pairs]
        found = self.store.read_arrow(_ASKED.replace("[which]", _BEFORE), parameters=parameters)
        self._count(found["smiles"].to_pylist())
        if event is Event.SAMPLE_BATCH and self.limit is not None:
            # A build of this iteration may have refused pairs although a call is left.
            refused = self.store.read_arrow(_REFUSED, parameters=[self.run_id, iteration, BUDGET])["n"][0].as_py()
            self.begin(iteration)
            self._refused |= bool(refused)

    def read_builds(self, build_ids: Iterable[str]) -> None:
        """Add the molecules of the given committed builds."""
        wanted = pa.table({"build_id": pa.array(build_ids, pa.string())})
        sql = _ASKED.replace("[which]", "b.build_id IN (SELECT build_id FROM wanted)")
        self._count(
            self.store.read_arrow(sql, parameters=[IMPROVEMENT, self.pairs], wanted=wanted)["smiles"].to_pylist()
        )

    def read_refusals(self) -> None:
        """Note whether the budget has refused rows of the run's actors, although a call may be left."""
        found = self.store.read_arrow(_REFUSED_OF_ACTORS, parameters=[BUDGET, self.run_id])
        self._refused |= bool(len(found))

    def _count(self, molecules: Sequence[str]) -> None:
        self._asked.update(molecules)
        self.count = len(self._asked)


def calls_before(
    store: SampleStore,
    limit: int,
    *,
    run_id: str,
    iteration: int,
    sampler_order: int,
    chunk: int,
    pairs: bool = False,
    uncommitted: Iterable[str] = (),
) -> OracleCalls:
    """Return the oracle calls of a run before a chunk of a build of the buffer, for a process that makes only this one.

    The earlier molecules stay in the store, which is queried for the molecules of each draw.

    Args:
        store: the store of the run.
        limit: the budget of the run.
        run_id: the run.
        iteration: the iteration of the build.
        sampler_order: the position of the sampler in the campaign.
        chunk: the number of the chunk.
        pairs: whether sources of pairs are scored.
        uncommitted: the molecules that live draws of this iteration asked for before the build.
    """
    event = Event.BUILD_BUFFER.value
    parameters = [IMPROVEMENT, run_id, iteration, iteration, event, sampler_order, chunk, pairs]
    return _calls(store, limit, _BEFORE, parameters, uncommitted)


def calls_with_actors(store: SampleStore, limit: int, *, run_id: str, pairs: bool = False) -> OracleCalls:
    """Return the committed oracle calls of a training and its actors together.

    Args:
        store: the store of the runs.
        limit: the common budget of the runs.
        run_id: the run of the training.
        pairs: whether sources of pairs are scored.
    """
    return _calls(store, limit, _OF_FAMILY, [IMPROVEMENT, run_id, pairs])


def _calls(
    store: SampleStore, limit: int, which: str, parameters: Sequence[object], uncommitted: Iterable[str] = ()
) -> OracleCalls:
    asked = _ASKED.replace("[which]", which)

    def earlier(molecules: Collection[str]) -> Collection[str]:
        wanted = pa.table({"smiles": pa.array(molecules, pa.string())})
        sql = _WANTED.replace("[asked]", asked)
        found: list[str] = store.read_arrow(sql, parameters=parameters, wanted=wanted)["smiles"].to_pylist()
        return found

    counted = store.read_arrow(_COUNT.replace("[asked]", asked), parameters=parameters)["n"][0].as_py()
    live = list(uncommitted)
    fresh = set(live) - set(earlier(live)) if live else set()
    return OracleCalls(limit, count=counted + len(fresh), _asked=fresh, _earlier=earlier)
