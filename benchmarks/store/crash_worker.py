"""A process of ``crash_store.py``: it commits, reads or maintains until it is killed, and prints acknowledgements.

    python benchmarks/store/crash_worker.py writer|reader|maintainer STORE NUMBER GRACE [patient]

A writer prints ``build <id>`` and ``score <smiles>``, each after the store has acknowledged it; a reader prints
``read <builds>``; a maintainer prints ``compacted``, ``expired <versions>`` and ``removed <files>``. Any error ends the
process with a traceback. A patient process, whose server may crash, prints ``failed <error>`` for a transient error,
and tries the same operation again in its open store.
"""

from __future__ import annotations

import itertools
import random
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from typing import TypeVar

import numpy as np

from molbuffer.storage import (
    Build,
    BuildReceipt,
    Commit,
    Event,
    Reward,
    Rows,
    Run,
    RunKind,
    Samples,
    SampleStore,
    Score,
    StoreError,
    may_pass,
)

Result = TypeVar("Result")

RUN_ID = "crash"
OBJECTIVE = "0" * 64
COMPONENT, VERSION = "docking", "1" * 64
ROWS, WIDTH = 20, 40
SHARED = "shared"
"""The sampler whose builds all writers commit, so that they race for each."""

AGAIN_SECONDS = 0.1
"""The time between two attempts of a patient process."""


def crash_run() -> Run:
    return Run(RUN_ID, "crash", RunKind.BUILD, "{}", 0, objective_sha256=OBJECTIVE)


def make_build(sampler: str, iteration: int) -> Build:
    """Return a build whose content follows from its name alone, so that the stored build can be compared with it."""
    rng = np.random.default_rng([len(sampler), sum(sampler.encode()), iteration])
    lengths = rng.integers(5, WIDTH, ROWS).astype(np.int32)
    inside = np.arange(WIDTH) < lengths[:, None]
    smiles = [f"{sampler}-{iteration}-{row}" for row in range(ROWS)]
    samples = Samples(
        raw=smiles,
        smiles=smiles,
        rejected_by=[None] * ROWS,
        rows=Rows(
            tokens=np.where(inside, rng.integers(3, 40, (ROWS, WIDTH)), 0).astype(np.uint8),
            lengths=lengths,
            log_probs=np.where(inside, -rng.random((ROWS, WIDTH)), 0).astype(np.float32),
            vocabulary_sha256="2" * 64,
        ),
    )
    rewards = [Reward(row, OBJECTIVE, float(value)) for row, value in enumerate(rng.random(ROWS))]
    event = Event.BUILD_BUFFER
    return Build(RUN_ID, iteration, event, sampler, "model", samples, objective_sha256=OBJECTIVE, rewards=rewards)


def stubborn(work: Callable[[], Result], *, patient: bool) -> Result:
    """Do an operation, and repeat it after transient errors if the process is patient.

    Raises:
        StoreError: the error is not transient, or the process is not patient.
    """
    while True:
        try:
            return work()
        except StoreError as error:
            if not (patient and may_pass(error)):
                raise
            print("failed", type(error).__name__, flush=True)
        time.sleep(AGAIN_SECONDS)


def write(store: SampleStore, number: int, *, patient: bool) -> None:
    own = f"writer-{number}"
    receipts = stubborn(lambda: store.receipts(RUN_ID), patient=patient)
    done = {(receipt.sampler, receipt.iteration) for receipt in receipts}
    for iteration in itertools.count():
        for sampler in (own, SHARED):
            # After a restart a few of the last builds are tried again, as a resumed run does.
            if (sampler, iteration + 3) not in done:
                commit = Commit([make_build(sampler, iteration)])
                receipt = stubborn(lambda commit=commit: store.commit(commit), patient=patient).builds[0]
                print("build", receipt.build_id, flush=True)
        if (own, iteration) not in done:
            smiles = f"{own}-{iteration}"
            score = [Score(smiles, COMPONENT, VERSION, float(iteration))]
            stubborn(lambda score=score: store.record_scores(score, run_id=RUN_ID), patient=patient)
            print("score", smiles, flush=True)


def check_build(store: SampleStore, found: str, sampler: str, iteration: int) -> None:
    """Compare a stored build, including its arrays, with its expected content.

    Raises:
        AssertionError: the build is torn.
    """
    expected, stored = make_build(sampler, iteration), store.build(found).build
    assert stored.samples.raw == expected.samples.raw, f"{found}: other strings"
    assert np.array_equal(stored.samples.rows.lengths, expected.samples.rows.lengths), f"{found}: other lengths"
    width = stored.samples.rows.tokens.shape[1]
    assert np.array_equal(stored.samples.rows.tokens, expected.samples.rows.tokens[:, :width]), f"{found}: other tokens"
    assert np.array_equal(stored.samples.rows.log_probs, expected.samples.rows.log_probs[:, :width]), (
        f"{found}: other log-probs"
    )
    assert [reward.value for reward in stored.rewards] == [reward.value for reward in expected.rewards], found


def read(store: SampleStore, number: int, *, patient: bool) -> None:
    rng = random.Random(number)
    while True:
        print("read", len(stubborn(lambda: check_some(store, rng), patient=patient)), flush=True)


def check_some(store: SampleStore, rng: random.Random) -> list[BuildReceipt]:
    """Look for builds with missing or repeated rows, and compare three stored builds with their expected content.

    Raises:
        AssertionError: a build is torn.
    """
    torn = store.read_arrow(
        """SELECT build_id, count(samples."row") AS n, any_value(drawn) AS drawn
        FROM {builds} AS builds LEFT JOIN {samples} AS samples USING (build_id)
        GROUP BY build_id HAVING n <> any_value(drawn)"""
    )
    assert torn.num_rows == 0, f"builds with missing or doubled rows: {torn.to_pylist()}"
    receipts = store.receipts(RUN_ID)
    for receipt in rng.sample(receipts, min(3, len(receipts))):
        check_build(store, receipt.build_id, receipt.sampler, receipt.iteration)
    return receipts


def maintain(store: SampleStore, grace: timedelta, *, patient: bool) -> None:
    """Compact, expire and vacuum the store repeatedly.

    Args:
        store: the store.
        grace: the least age of removed files, longer than any commit or read takes.
        patient: whether to go on after transient errors.
    """
    work = store.maintenance
    while True:
        # Segments of few rows, so that there are always some to rewrite.
        stubborn(lambda: work.compact(segment_rows=50 * ROWS), patient=patient)
        print("compacted", flush=True)
        print("expired", len(stubborn(lambda: work.expire(grace, keep=10), patient=patient).expired), flush=True)
        print("removed", len(stubborn(lambda: work.vacuum(grace=grace), patient=patient).removed), flush=True)
        time.sleep(1)


def main() -> None:
    role, path, number, grace = sys.argv[1], sys.argv[2], int(sys.argv[3]), timedelta(seconds=float(sys.argv[4]))
    patient = "patient" in sys.argv[5:]
    with stubborn(lambda: SampleStore.open(path, read_only=role == "reader"), patient=patient) as store:
        if role == "writer":
            write(store, number, patient=patient)
        elif role == "reader":
            read(store, number, patient=patient)
        else:
            maintain(store, grace, patient=patient)


if __name__ == "__main__":
    main()
