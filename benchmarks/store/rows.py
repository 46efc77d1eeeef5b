"""Random rows for benchmarks of the store, with the columns of drawn rows and the lengths of molecules."""

from __future__ import annotations

import numpy as np

from molbuffer.storage import Build, Event, Reward, Rows, Run, RunKind, Samples, Score

WIDTH, LATENTS = 80, 6
RUN_ID = "bench"
OBJECTIVE = "0" * 64
ATOMS = np.array(list("CCCCNOc1cccc1=()"))


def bench_run() -> Run:
    """Return the run that all builds belong to."""
    return Run(RUN_ID, "bench", RunKind.BUILD, "{}", 7)


def make_build(
    iteration: int,
    rows: int,
    rng: np.random.Generator,
    *,
    latents: bool = False,
    rewarded: bool = False,
    scored: bool = False,
    rejected: float = 0.0,
    width: int = WIDTH,
    run_id: str = RUN_ID,
    chunk: int = 0,
) -> Build:
    """Return a build like that of a sampler: strings of 25 to 80 characters, tokens and log-probs [rows, 80].

    Args:
        latents: whether each row has 6 latents.
        rewarded: whether each row has a reward.
        scored: whether each molecule has two scores.
        rejected: the share of rows that a filter refused.
        width: the width of the arrays and the length of the longest string.
        run_id: the run of the build.
        chunk: the number of the build among those of the iteration.
    """
    lengths = rng.integers(min(25, width), width + 1, rows).astype(np.int32)
    letters = rng.choice(ATOMS, (rows, width)).view(f"<U{width}")[:, 0].tolist()
    raw = [text[:length] for text, length in zip(letters, lengths.tolist(), strict=True)]
    inside = np.arange(width) < lengths[:, None]
    values = rng.random(rows).tolist()
    samples = Samples(
        raw=raw,
        smiles=raw,
        rejected_by=["molecular_weight" if refused else None for refused in rng.random(rows) < rejected],
        rows=Rows(
            tokens=np.where(inside, rng.integers(3, 40, (rows, width)), 0).astype(np.uint8),
            lengths=lengths,
            log_probs=np.where(inside, -rng.random((rows, width)), 0).astype(np.float32),
            vocabulary_sha256="1" * 64,
            latents=rng.normal(size=(rows, LATENTS)).astype(np.float32) if latents else None,
        ),
    )
    return Build(
        run_id=run_id,
        iteration=iteration,
        event=Event.BUILD_BUFFER,
        sampler="live",
        sampler_kind="model",
        chunk=chunk,
        samples=samples,
        objective_sha256=OBJECTIVE,
        rewards=[Reward(row, OBJECTIVE, value) for row, value in enumerate(values)] if rewarded else (),
        scores=[
            Score(text, component, "2" * 64, value)
            for component in ("qed", "similarity")
            for text, value in zip(raw, values, strict=True)
        ]
        if scored
        else (),
    )
