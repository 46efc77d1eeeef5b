"""Which of some molecules the history has: the novelty check."""

import time

import numpy as np

from molbuffer.storage.records import Commit, Samples
from molbuffer.storage.rows import Rows


def drawn(make, smiles, run_id="run-1", iteration=0):
    """A build of these molecules, refused by a filter; None for what is none."""
    n = len(smiles)
    samples = Samples(
        raw=["raw"] * n,
        smiles=smiles,
        rejected_by=["molecular_weight" if text else "validity" for text in smiles],
        rows=Rows(
            tokens=np.ones((n, 2), np.uint8),
            lengths=np.full(n, 2, np.int32),
            log_probs=np.zeros((n, 2), np.float32),
            vocabulary_sha256="v",
        ),
    )
    return make.make_build(iteration, samples=samples, run_id=run_id, rewards=())


def test_known_are_molecules_of_any_run_and_iteration_kept_or_not(started, make):
    started.start_run(make.make_run("run-2"))
    started.commit(Commit([drawn(make, ["C", None, "CC"]), drawn(make, ["CC", "N"], iteration=1)]))
    started.commit(Commit([drawn(make, ["O", "C"], run_id="run-2")]))
    assert started.known_molecules(["C", "CC", "CC", "N", "O", "S"]) == {"C", "CC", "N", "O"}
    assert started.known_molecules(["C", "N", "O", "S"], run_id="run-1") == {"C", "N"}
    assert started.known_molecules(["C", "N", "O"], run_id="run-2") == {"C", "O"}
    assert started.known_molecules(["C"], run_id="run-3") == set()
    assert started.known_molecules([]) == set()
    assert started.known_molecules(["c", "C "]) == set(), "molecules are compared by their canonical SMILES as it is"


def test_a_version_knows_what_it_had(started, make):
    first = started.commit(Commit([drawn(make, ["C"])]))
    started.commit(Commit([drawn(make, ["N"], iteration=1)]))
    started.maintenance.compact()
    assert started.at(first.snapshot).known_molecules(["C", "N"]) == {"C"}
    assert started.known_molecules(["C", "N"]) == {"C", "N"}


def test_ten_thousand_molecules_are_looked_up_among_many_fast(started, make):
    started.commit(Commit([drawn(make, [f"C{i}" for i in range(100_000)])]))
    asked = [f"C{i}" for i in range(95_000, 105_000)]
    started_at = time.process_time()
    known = started.known_molecules(asked)
    seconds = time.process_time() - started_at
    assert known == set(asked[:5_000])
    # Reading all of the history into Python takes many times as long. Processor time, since others may be busy.
    assert seconds < 20
