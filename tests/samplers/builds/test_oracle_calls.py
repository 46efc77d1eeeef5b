"""R26: which molecules cost an oracle call, in memory and by the rows of a store alone."""

from collections.abc import Sequence

import numpy as np
import pytest

from molbuffer.flows.settings.rules import TAKEN_LABELS
from molbuffer.samplers.builds.judging import TAKEN_NAMES, Pipeline
from molbuffer.samplers.builds.oracle_calls import CallsOfTraining, OracleCalls, calls_before
from molbuffer.samplers.scores.scorer import Scorer
from molbuffer.scoring import Objective, Standardisation, WeightedComponent
from molbuffer.scoring.components import QED
from molbuffer.scoring.filters import PropertyRange
from molbuffer.storage import SampleStore
from molbuffer.storage.records import Build, Commit, Event, Run, RunKind, Samples
from molbuffer.storage.rows import Rows

Row = tuple[str | None, str | None, str | None]
"""A row of a build: its molecule, its source, and what rejected it."""


def build(iteration: int, event: Event, order: int, chunk: int, rows: Sequence[Row]) -> Build:
    molecules, sources, rejected = (list(column) for column in zip(*rows, strict=True))
    columns = Rows(
        tokens=np.ones((len(rows), 2), np.uint8),
        lengths=np.full(len(rows), 2, np.int32),
        log_probs=np.zeros((len(rows), 2), np.float32),
        vocabulary_sha256="v",
    )
    samples = Samples(["x"] * len(rows), molecules, rejected, columns, sources)
    return Build("run", iteration, event, f"s{order}", "model", samples, chunk=chunk, sampler_order=order)


BUILDS = [
    build(0, Event.BUILD_BUFFER, 0, 0, [("C", None, None), ("N", None, "valence"), (None, None, "validity")]),
    build(0, Event.SAMPLE_BATCH, 0, 0, [("CC", "CO", None), ("C", None, None)]),
    build(1, Event.BUILD_BUFFER, 0, 0, [("CCC", "CCN", "improvement"), ("CCO", "CCS", "vocabulary")]),
    build(1, Event.BUILD_BUFFER, 0, 1, [("O", None, None), ("S", None, "budget")]),
    build(1, Event.BUILD_BUFFER, 1, 0, [("F", None, None)]),
    build(1, Event.SAMPLE_BATCH, 0, 0, [("Cl", None, None)]),
]
"""The builds of a run in the order of its rows."""


@pytest.fixture
def stored(store: SampleStore) -> SampleStore:
    for run_id in ("run", "other"):
        store.start_run(Run(run_id, run_id, RunKind.TRAIN, "{}", 0))
    store.commit(Commit(builds=BUILDS))
    foreign = Build("other", 0, Event.BUILD_BUFFER, "s0", "model", BUILDS[4].samples)
    store.commit(Commit(builds=[foreign]))
    return store


@pytest.mark.parametrize(
    ("at", "pairs", "asked"),
    [
        ((0, 0, 0), True, set()),
        ((1, 0, 0), True, {"C", "CC", "CO"}),
        ((1, 0, 0), False, {"C", "CC"}),
        ((1, 0, 1), True, {"C", "CC", "CO", "CCC", "CCN"}),
        ((1, 1, 0), True, {"C", "CC", "CO", "CCC", "CCN", "O"}),
        ((2, 0, 0), True, {"C", "CC", "CO", "CCC", "CCN", "O", "F", "Cl"}),
    ],
)
def test_r26_a_chunk_counts_what_the_run_asked_for_before_it(
    stored: SampleStore, at: tuple[int, int, int], *, pairs: bool, asked: set[str]
) -> None:
    iteration, order, chunk = at
    live = ["CC", "P", "B"]
    calls = calls_before(
        stored, 100, run_id="run", iteration=iteration, sampler_order=order, chunk=chunk, pairs=pairs, uncommitted=live
    )
    known = asked | set(live)
    assert calls.count == len(known)
    everything = ["C", "CC", "CO", "CCC", "CCN", "O", "F", "Cl", "N", "S", "CCO", "CCS", "P", "B"]
    before = calls.count
    assert all(calls.admit([[text] for text in everything]))
    assert calls.count - before == len(set(everything) - known)


def test_r26_a_training_counts_the_same_in_memory(stored: SampleStore) -> None:
    calls = CallsOfTraining(9, store=stored, run_id="run", pairs=True)
    calls.read(1, Event.BUILD_BUFFER)
    assert (calls.count, calls.used_up) == (3, False)
    calls.read(1, Event.SAMPLE_BATCH)
    assert calls.count == 7
    assert calls.admit([["Cl"], ["CC", "Br"], ["I"]]) == [True, True, False]
    assert (calls.count, calls.used_up) == (9, True)
    again = CallsOfTraining(store=stored, run_id="run", pairs=True)
    again.read_builds([BUILDS[0].build_id, BUILDS[2].build_id])
    assert again.count == 3


def test_r26_rows_are_admitted_in_their_order_and_known_molecules_cost_nothing() -> None:
    calls = OracleCalls(3)
    assert calls.admit([["C"], ["N"], ["C"], ["O"], ["S"], ["N"]]) == [True, True, True, True, False, True]
    assert (calls.count, calls.used_up) == (3, True)
    pairs = OracleCalls(3)
    assert pairs.admit([["C", "N"], ["C", "C"]]) == [True, True]
    assert not pairs.used_up
    # Two calls do not fit into the one that is left, but one does.
    assert pairs.admit([["O", "S"]]) == [False]
    assert pairs.used_up, "pairs may need more than is left"
    pairs.begin(1)
    assert not pairs.used_up
    assert pairs.admit([["C", "O"]]) == [True]
    assert pairs.count == 3
    assert all(OracleCalls().admit([[str(i)] for i in range(1000)]))
    with pytest.raises(ValueError, match="at least 1 oracle call, got 0"):
        OracleCalls(0)


def test_a_build_is_told_what_live_draws_of_its_iteration_have_asked_for() -> None:
    calls = OracleCalls(9)
    calls.begin(4)
    calls.admit([["C"], ["N"], ["C"]])
    assert calls.asked_in(4) == ("C", "N")
    assert calls.asked_in(5) == ()
    calls.begin(5)
    assert calls.asked_in(5) == ()


def test_no_filter_has_a_name_from_which_calls_are_counted() -> None:
    scorer = Scorer(Objective((WeightedComponent(QED()),)))
    assert TAKEN_LABELS == TAKEN_NAMES
    for name in TAKEN_NAMES:
        with pytest.raises(ValueError, match=f"a filter cannot have the name '{name}'"):
            Pipeline(
                Standardisation(),
                [PropertyRange("logp", minimum=0, name=name)],
                scorer,
                expressible=lambda _: True,
                seen=lambda _: set(),
            )
