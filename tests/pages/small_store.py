"""A small real store for tests of pages, whose facts can be worked out by hand, and the pieces that it is made of.

Two runs have the name "alpha" and one objective, "obj-a"; "beta" has another one and molecules of a file. Of the rows
of the first run: iteration 0 fills the buffer with CCO, a string that is no molecule, CCN (refused), CCC and CCO again;
iteration 1 draws a phenol, CCC again, CCCl (its score fails) and CCBr (lost); a mutation makes a cresol of the phenol,
whose score is pending. The second run finds CCC in the store and computes CCCC.
"""

import json
from dataclasses import replace
from pathlib import Path

from molbuffer.storage import (
    Build,
    Commit,
    Event,
    FileOrigin,
    Metric,
    ObjectiveComponent,
    ObjectiveDefinition,
    PolicyVersion,
    Reward,
    RowId,
    Rows,
    Run,
    RunKind,
    RunStatus,
    Samples,
    SampleStore,
    Score,
    ScoreStatus,
    make_build_id,
)

A, B = "a" * 64, "b" * 64
FIRST, SECOND, THIRD = "run-a1", "run-a2", "run-b"
PRIOR, AGENT = "0" * 64, "1" * 64
IDENTITY = json.dumps({"kind": "identity"})
LINEAR = json.dumps({"kind": "linear", "low": 0.0, "high": 200.0})
PARTS = (ObjectiveComponent("qed", "v1", 1.0, IDENTITY), ObjectiveComponent("mass", "v2", 2.0, LINEAR))
DEFINITION = ObjectiveDefinition("geometric_mean", PARTS)
OTHER = ObjectiveDefinition("product", (ObjectiveComponent("logp", "v3", 1.0, json.dumps({"kind": "custom"})),))
PHENOL, CRESOL = "Oc1ccccc1", "Cc1ccccc1O"


def samples(drawn, refused=None, **columns):
    """Rows without tokens: drawn is a SMILES for each row, or None for a string that is no molecule."""
    refused = {row: "validity" for row, text in enumerate(drawn) if text is None} | (refused or {})
    return Samples(
        raw=[text or "not a molecule" for text in drawn],
        smiles=drawn,
        rejected_by=[refused.get(row) for row in range(len(drawn))],
        rows=Rows.blank(len(drawn), "vocabulary-1"),
        **columns,
    )


def build(run_id, iteration, drawn, rewards, *, objective=A, event=Event.SAMPLE_BATCH, refused=None, **changes):
    """A build; rewards is the value, or the status of a score without one, by row."""
    columns = {
        name: changes.pop(name) for name in ("source_smiles", "source_rows", "parents", "origins") if name in changes
    }
    fields = {
        "run_id": run_id,
        "iteration": iteration,
        "event": event,
        "sampler": "live",
        "sampler_kind": "model",
        "samples": samples(drawn, refused, **columns),
        "policy_sha256": AGENT,
        "objective_sha256": objective,
        "rewards": [
            Reward(row, objective, None, value) if isinstance(value, ScoreStatus) else Reward(row, objective, value)
            for row, value in rewards.items()
        ],
    }
    return Build(**(fields | changes))


def of_both(smiles, qed, mass, seconds=0.5):
    return [Score(smiles, "qed", "v1", qed, seconds=0.01), Score(smiles, "mass", "v2", mass, seconds=seconds)]


def alpha(run_id, seed):
    config = {"campaign": {"name": "alpha", "seed": seed, "max_oracle_calls": 10}, "policy": {"prior": "zinc-gru"}}
    return Run(
        run_id, "alpha", RunKind.TRAIN, json.dumps(config), seed, A, "0.1.0+gabc", {"torch": "2.0"}, "vm",
        definition=DEFINITION,
    )  # fmt: skip


def fill(store: SampleStore) -> None:
    store.start_run(alpha(FIRST, 1))
    begin = build(
        FIRST, 0, ["CCO", None, "CCN", "CCC", "CCO"], {0: 0.2, 3: 0.6, 4: 0.2}, event=Event.BUILD_BUFFER,
        refused={2: "molecular_weight"}, scores=[*of_both("CCO", 0.2, 46.0), *of_both("CCC", 0.6, 44.0)],
        metrics=[Metric("diversity", 0.75), Metric("valid", 0.6), Metric("new", 2 / 3), Metric("shortfall", 1.0)],
    )  # fmt: skip
    policies = [PolicyVersion(PRIOR, "gru"), PolicyVersion(AGENT, "gru", PRIOR, FIRST, 0)]
    store.commit(Commit([begin], policies=policies, run_id=FIRST, run_metrics=of_iteration(0, 0.3, 0.4, 2)))
    failures = [
        Score("CCCl", "mass", "v2", None, ScoreStatus.FAILED, error="no force field for CCCl in 3 tries", seconds=1.0),
        Score("CCBr", "mass", "v2", None, ScoreStatus.LOST, error="timeout after 30 s", seconds=30.0),
    ]
    live = build(
        FIRST, 1, [PHENOL, "CCC", "CCCl", "CCBr"], {0: 0.9, 1: 0.6, 2: ScoreStatus.FAILED, 3: ScoreStatus.LOST},
        scores=[*of_both(PHENOL, 0.9, 94.0), *failures],
        metrics=[Metric("diversity", 1.0), Metric("valid", 1.0), Metric("rewards", 0.75)],
    )  # fmt: skip
    parent = RowId(make_build_id(FIRST, 1, Event.SAMPLE_BATCH, "live", 0), 0)
    mutated = build(
        FIRST, 1, [CRESOL], {0: ScoreStatus.PENDING}, sampler="kids", sampler_kind="mutation", sampler_order=1,
        policy_sha256=None, source_smiles=[PHENOL], source_rows=[parent],
    )  # fmt: skip
    store.commit(Commit([live, mutated], run_id=FIRST, run_metrics=of_iteration(1, 0.75, 0.5, 5)))
    store.finish_run(FIRST, RunStatus.FINISHED, "10 oracle calls")
    store.start_run(alpha(SECOND, 2))
    again = build(SECOND, 0, ["CCC", "CCCC"], {0: 0.6, 1: 0.3}, scores=of_both("CCCC", 0.3, 58.0))
    store.commit(Commit([again], run_id=SECOND, run_metrics=of_iteration(0, 0.45, None, 2)))
    store.finish_run(SECOND, RunStatus.FAILED, "ValueError: no more")
    store.start_run(replace(alpha(THIRD, 3), name="beta", kind=RunKind.BUILD, objective_sha256=B, definition=OTHER))
    read = build(
        THIRD, 0, ["CCO", "OCCO"], {0: 0.5, 1: 0.25}, objective=B, event=Event.BUILD_BUFFER, sampler="own",
        sampler_kind="dataset", policy_sha256=None, scores=[Score("CCO", "logp", "v3", 0.5)],
        origins=[FileOrigin("own.csv", 2, "M1"), FileOrigin("own.csv", 3)],
    )  # fmt: skip
    store.commit(Commit([read]))
    store.finish_run(THIRD, RunStatus.FINISHED)


def of_iteration(iteration, live, stored, calls):
    values = {"reward_live": live, "reward_buffer": stored, "share_live": 0.75, "share_buffer": 0.25}
    return [(iteration, Metric(name, value)) for name, value in {**values, "oracle_calls": float(calls)}.items()]


def make_small(path: Path) -> Path:
    with SampleStore.create(path) as store:
        fill(store)
    return path


HOSTILE = (
    "</script><script>window.hacked=1</script>",
    '"><img src=x onerror="window.hacked=2">',
    "<svg onload=window.hacked=3>",
    "{{ 7*7 }}${7*7}<!--<script>",
    "javascript:window.hacked=4",
    "\u2028\u2029&lt;b&gt;\x00'\"`".replace("\x00", "\x01"),
    "<b>" + "x" * 10_000,
)
"""Texts that somebody may have put into a store; some are not even molecules."""


def make_hostile(path: Path) -> Path:
    """A store whose names, molecules, errors, versions and settings are hostile."""
    name = HOSTILE[0]
    config = {"campaign": {"name": name, "max_oracle_calls": "many"}, "policy": {"prior": HOSTILE[1]}, "objective": 3}
    parts = tuple(
        ObjectiveComponent(text, f"v{at}", 1.0, IDENTITY if at else "no JSON {") for at, text in enumerate(HOSTILE)
    )
    with SampleStore.create(path) as store:
        for run_id, seed in (("run-x", 1), ("run-y", 2)):
            store.start_run(
                Run(
                    run_id, name, RunKind.TRAIN, json.dumps(config), seed, A, name, {HOSTILE[1]: HOSTILE[2]}, name,
                    definition=ObjectiveDefinition(HOSTILE[2], parts),
                )
            )  # fmt: skip
            for iteration in range(2):
                drawn = [f"{'C' * (at + 2 + iteration)}O" for at in range(6)] + list(HOSTILE)
                scores = [
                    Score(smiles, part.component, part.version, 0.1 + 0.8 * ((at * 7 + n * 3) % 10) / 10)
                    for at, smiles in enumerate(drawn)
                    for n, part in enumerate(parts)
                ]
                failed = [
                    Score(smiles, parts[0].component, "v0", None, ScoreStatus.FAILED, error=smiles)
                    for smiles in HOSTILE
                ]
                made = build(
                    run_id, iteration, drawn, {at: 0.05 * at for at in range(len(drawn))}, sampler=HOSTILE[iteration],
                    sampler_kind=name, scores=scores if iteration == 0 else failed,
                    source_smiles=[HOSTILE[6]] * len(drawn),
                    origins=[FileOrigin(name, at + 1, HOSTILE[1]) for at in range(len(drawn))],
                    metrics=[Metric(metric, 0.5) for metric in ("valid", "new", "diversity", "rewards")],
                )  # fmt: skip
                shares = [(iteration, Metric(f"share_{text}", 0.5)) for text in HOSTILE[:2]]
                metrics = [*of_iteration(iteration, 0.3, 0.4, 5), *shares]
                refused = build(run_id, iteration, ["CCN"], {}, refused={0: HOSTILE[iteration]}, sampler_order=1)
                store.commit(Commit([made, refused], run_id=run_id, run_metrics=metrics))
            store.finish_run(run_id, RunStatus.FAILED, HOSTILE[6])
    return path
