"""Which molecules count as met before, in the order (iteration, event, sampler, chunk) of a run."""

from collections.abc import Sequence

import numpy as np
import pytest

from molbuffer.samplers.builds.seen import SeenBefore, SeenMolecules
from molbuffer.storage import SampleStore
from molbuffer.storage.records import Build, Commit, Event, Run, RunKind, Samples
from molbuffer.storage.rows import Rows

NOBODY = "XX"


def build(
    smiles: Sequence[str | None], iteration: int, event: Event, order: int = 0, chunk: int = 0, run_id: str = "run"
) -> Build:
    n = len(smiles)
    samples = Samples(
        raw=["raw"] * n,
        smiles=smiles,
        rejected_by=[None if text else "validity" for text in smiles],
        rows=Rows(
            tokens=np.ones((n, 2), np.uint8),
            lengths=np.full(n, 2, np.int32),
            log_probs=np.zeros((n, 2), np.float32),
            vocabulary_sha256="v",
        ),
    )
    return Build(run_id, iteration, event, f"sampler-{order}", "model", samples, chunk=chunk, sampler_order=order)


@pytest.fixture
def full(store: SampleStore) -> SampleStore:
    """A store with a build at each place of a run, each with a molecule that names the place, and another run's."""
    for run_id in ("run", "other"):
        store.start_run(Run(run_id, "test", RunKind.TRAIN, "{}", 1))
    places = [
        (iteration, event, order, chunk)
        for iteration in (0, 1)
        for event in Event
        for order in (0, 1)
        for chunk in ((0, 1) if event is Event.BUILD_BUFFER else (0,))
    ]
    builds = [build([name_of(*place), None], *place) for place in places]
    store.commit(Commit(builds=[*builds, build(["N"], 0, Event.BUILD_BUFFER, run_id="other")]))
    return store


def name_of(iteration: int, event: Event, order: int, chunk: int) -> str:
    return f"C{iteration}{'b' if event is Event.BUILD_BUFFER else 's'}{order}{chunk}"


ALL = ["C0b00", "C0b01", "C0b10", "C0b11", "C0s00", "C0s10", "C1b00", "C1b01", "C1b10", "C1b11", "C1s00", "C1s10", "N"]


@pytest.mark.parametrize(
    ("place", "n_before"),
    [
        ((0, Event.BUILD_BUFFER, 0, 0), 0),
        ((0, Event.BUILD_BUFFER, 1, 1), 3),
        ((0, Event.SAMPLE_BATCH, 0, 0), 4),
        ((1, Event.BUILD_BUFFER, 0, 0), 6),
        ((1, Event.BUILD_BUFFER, 0, 1), 7),
        ((1, Event.BUILD_BUFFER, 1, 0), 8),
        # Live builds of the iteration itself are told by ``add``: they are committed later.
        ((1, Event.SAMPLE_BATCH, 1, 0), 10),
    ],
)
def test_what_is_committed_before_a_place_was_seen(
    full: SampleStore, place: tuple[int, Event, int, int], n_before: int
) -> None:
    seen = SeenMolecules(full, "run")
    assert seen(ALL) == set()
    seen.read(*place)
    assert seen([*ALL, NOBODY]) == set(ALL[:n_before])
    before = SeenBefore(full, "run", *place)
    assert before([*ALL, NOBODY]) == set(ALL[:n_before])
    assert before([*ALL[2:], NOBODY]) == set(ALL[2:n_before])
    assert before([]) == set()


def test_builds_on_their_way_to_the_store_were_seen(full: SampleStore) -> None:
    seen = SeenMolecules(full, "run")
    seen.add(build(["CC", None, "CO"], 5, Event.SAMPLE_BATCH))
    assert seen(["CC", "CO", NOBODY]) == {"CC", "CO"}
    seen(["CC"]).add(NOBODY)
    assert seen([NOBODY]) == set(), "what is returned is the caller's own"
