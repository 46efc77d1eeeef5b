"""Import a file into a store, as a run of kind ``import``.

The scores of the reward column are stored for the component ``imported:NAME``, and further scores for
``imported:NAME/COLUMN``. No other scores have these names, so that an imported score is never taken for a score that a
component of molbuffer computes. The rewards are under the objective of the component ``imported:NAME`` alone.

The id of the run is a hash of the content of the file and of the settings of the import: a file that is imported again
adds nothing, and an import that was interrupted goes on.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from molbuffer.exchange.errors import IngestError
from molbuffer.exchange.ingest.assay import assay_columns
from molbuffer.exchange.ingest.columns import FindColumns
from molbuffer.exchange.ingest.molscore import molscore_columns
from molbuffer.exchange.ingest.reinvent import reinvent_columns
from molbuffer.exchange.ingest.rows import ImportedRow, RowJudge, in_portions, read_rows
from molbuffer.samplers import Policy, encode_rows, policy_files, read_molecule_table
from molbuffer.scoring import Identity, Objective, Transform, WeightedComponent
from molbuffer.scoring.components import Imported
from molbuffer.storage import (
    Build,
    Commit,
    Event,
    FileOrigin,
    Metric,
    PolicyVersion,
    Reward,
    Run,
    RunStatus,
    Samples,
    SampleStore,
    Score,
    ScoreStatus,
    UnknownRunError,
    file_sha256,
    now,
)

FORMATS: Mapping[str, FindColumns] = {
    "reinvent": reinvent_columns,
    "molscore": molscore_columns,
    "csv": assay_columns,
}
"""The function that finds the columns of a file, by the name of the format."""
SAMPLER = "import"
"""The name and the kind of the sampler of imported rows."""

MakeRun = Callable[[str, str, str, Objective], Run]
"""A function that makes the record of the run of an import, given its id, name, configuration and objective."""


@dataclass(frozen=True)
class IngestPlan:
    """The settings of an import.

    Attributes:
        form: the format: reinvent, molscore or csv.
        name: the name of the scores.
        policy: the policy that is to learn from the rows; the rows are stored in its vocabulary.
        column: the column of the molecules; None is ``smiles`` or ``canonical_smiles``, in any case.
        reward: the column of the scores that become rewards; None is the default of the format.
        transform: the transform of these scores to rewards in [0, 1].
    """

    form: str
    name: str
    policy: Policy
    column: str | None = None
    reward: str | None = None
    transform: Transform = Identity()

    def __post_init__(self) -> None:
        if self.form not in FORMATS:
            raise IngestError(f"expected one of the formats {', '.join(FORMATS)}, got {self.form!r}")
        if not self.name.strip():
            raise IngestError("the scores need a name, under which they can be trained on: got an empty one")

    @property
    def objective(self) -> Objective:
        """The objective of the rewards: the imported score under the transform."""
        return Objective([WeightedComponent(Imported(self.name), transform=self.transform)])


@dataclass(frozen=True)
class IngestReceipt:
    """The result of an import.

    Attributes:
        run_id: the run of the import.
        objective_sha256: the objective of the rewards.
        rows: the number of rows of the file.
        kept: the number of rows that can be trained on.
        rejected: the number of other rows, by the reason.
        contradictions: the number of repeated rows whose score differs from that of the first row of the molecule.
        scores: the number of scores that were new to the store.
        repeated: whether the file had been imported before, so that nothing was added.
    """

    run_id: str
    objective_sha256: str
    rows: int
    kept: int
    rejected: Mapping[str, int]
    contradictions: int
    scores: int
    repeated: bool = False


def ingest_file(
    store: SampleStore,
    path: Path,
    plan: IngestPlan,
    make_run: MakeRun,
    progress: Callable[[int], None] = lambda done: None,
) -> IngestReceipt:
    """Import a file into a store.

    Args:
        store: the store.
        path: the file, a table in CSV, TSV or Parquet.
        plan: the settings of the import.
        make_run: makes the record of the run.
        progress: called with the number of rows that are imported so far.

    Raises:
        SmilesFileError: the file cannot be read, has no row, or lacks the column of the molecules.
        IngestError: the file lacks another column, or its values are not rewards.
    """
    content = _content(path)
    table = read_molecule_table(path, plan.column)
    columns = FORMATS[plan.form](table.others.column_names, plan.reward)
    rows = read_rows(table, columns)
    _check_rewards(plan, columns.reward, rows)
    config = _config(plan, columns.reward, content)
    run_id = hashlib.sha256(config.encode()).hexdigest()[:32]
    if (known := _known(store, run_id, plan)) is not None:
        return known
    store.policies.add(policy_files(plan.policy.model, plan.policy.vocabulary))
    version = PolicyVersion(plan.policy.sha256, plan.policy.kind, weights_kept=True)
    judge, kept, scores, chunks = RowJudge(plan.policy.vocabulary), 0, 0, dict[int, int]()
    with store.recorded_run(make_run(run_id, f"import {path.name}", config, plan.objective)):
        store.commit(Commit(policies=[version], message=f"policy of run {run_id}"))
        done = 0
        for portion in in_portions(rows):
            builds, known_scores = list[Build](), list[Score]()
            for step, group in portion:
                chunk = chunks.get(step, 0)
                chunks[step] = chunk + 1
                judged = judge.judge(group)
                builds.append(_build(plan=plan, run_id=run_id, step=step, chunk=chunk, rows=judged, path=path))
                known_scores += _scores(plan, judged)
                kept += sum(row.rejected_by is None for row in judged)
                done += len(group)
            scores += store.record_scores(known_scores, run_id=run_id)
            store.commit(Commit(builds, message=f"run {run_id}, rows up to {done} of {path.name}"))
            progress(done)
    return IngestReceipt(
        run_id=run_id,
        objective_sha256=plan.objective.sha256,
        rows=len(rows),
        kept=kept,
        rejected=dict(sorted(judge.rejected.items())),
        contradictions=judge.contradictions,
        scores=scores,
    )


def _content(path: Path) -> str:
    try:
        return file_sha256(path)
    except OSError as error:
        raise IngestError(f"{path} cannot be read: {error.strerror}") from error


def _config(plan: IngestPlan, reward: str, content: str) -> str:
    """Return all that the rows and scores of an import depend on, as JSON."""
    return json.dumps(
        {
            "ingest": {
                "sha256": content,
                "format": plan.form,
                "name": plan.name,
                "column": plan.column,
                "reward": reward,
                "transform": plan.transform.settings(),
                "vocabulary": plan.policy.vocabulary.sha256,
            }
        },
        sort_keys=True,
    )


def _check_rewards(plan: IngestPlan, column: str, rows: Sequence[ImportedRow]) -> None:
    """Check that scores without a transform are rewards.

    Raises:
        IngestError: a score is outside [0, 1], and the import has no transform.
    """
    values = np.array([row.reward for row in rows if not math.isnan(row.reward)])
    if isinstance(plan.transform, Identity) and np.isnan(plan.transform(values)).any():
        raise IngestError(
            f"the values of the column {column!r} are from {values.min():g} to {values.max():g}, and rewards are in "
            "[0, 1]: give the values of the rewards 0 and 1 by --low and --high"
        )


_OF_RUN = """
    SELECT (SELECT status FROM {run_states} WHERE run_id = ?) AS status,
        count(*) AS rows, count(*) FILTER (kept) AS kept FROM {samples} AS samples
    WHERE build_id IN (SELECT build_id FROM {builds} WHERE run_id = ?)"""
_REJECTED = """SELECT rejected_by, count(*) AS n FROM {samples} AS samples
    WHERE build_id IN (SELECT build_id FROM {builds} WHERE run_id = ?) AND NOT kept GROUP BY ALL ORDER BY rejected_by"""


def _known(store: SampleStore, run_id: str, plan: IngestPlan) -> IngestReceipt | None:
    """Return the receipt of a finished import; None if the import has not begun or was interrupted."""
    try:
        store.run(run_id)
    except UnknownRunError:
        return None
    (found,) = store.read_arrow(_OF_RUN, parameters=[run_id, run_id]).to_pylist()
    if found["status"] != RunStatus.FINISHED:
        return None
    rejected = {row["rejected_by"]: row["n"] for row in store.read_arrow(_REJECTED, parameters=[run_id]).to_pylist()}
    return IngestReceipt(
        run_id=run_id,
        objective_sha256=plan.objective.sha256,
        rows=found["rows"],
        kept=found["kept"],
        rejected=rejected,
        contradictions=0,
        scores=0,
        repeated=True,
    )


def _build(*, plan: IngestPlan, run_id: str, step: int, chunk: int, rows: Sequence[ImportedRow], path: Path) -> Build:
    """Return the build of the rows of an iteration."""
    objective, started = plan.objective, now()
    raw = np.array([row.reward for row in rows])
    values = objective.rewards({f"imported:{plan.name}": raw})
    rewards = [
        Reward(at, objective.sha256, None if math.isnan(value) else float(value), _status(value))
        for at, (row, value) in enumerate(zip(rows, values, strict=True))
        if row.rejected_by is None
    ]
    texts = [row.raw for row in rows]
    samples = Samples(
        raw=texts,
        smiles=[row.smiles for row in rows],
        rejected_by=[row.rejected_by for row in rows],
        rows=encode_rows(texts, plan.policy.vocabulary),
        origins=[FileOrigin(str(path.resolve()), row.line) for row in rows],
    )
    good = [reward.value for reward in rewards if reward.value is not None]
    metrics = {
        "drawn": float(len(rows)),
        "parseable": float(sum(row.smiles is not None for row in rows)),
        "kept": float(len(rewards)),
        "rewards": float(np.mean(good)) if good else None,
    }
    return Build(
        run_id=run_id,
        iteration=step,
        event=Event.BUILD_BUFFER,
        sampler=SAMPLER,
        sampler_kind=SAMPLER,
        chunk=chunk,
        objective_sha256=objective.sha256,
        samples=samples,
        rewards=rewards,
        metrics=[Metric(name, value) for name, value in metrics.items()],
        started=started,
        ended=now(),
    )


def _status(value: float) -> ScoreStatus:
    return ScoreStatus.FAILED if math.isnan(value) else ScoreStatus.OK


def _scores(plan: IngestPlan, rows: Sequence[ImportedRow]) -> list[Score]:
    """Return the scores of the molecules that were kept."""
    found = []
    for row in rows:
        if row.rejected_by is None and row.smiles is not None:
            values = {plan.name: row.reward, **{f"{plan.name}/{name}": value for name, value in row.scores.items()}}
            for name, value in values.items():
                component = Imported(name)
                if not math.isnan(value):
                    found.append(Score(row.smiles, component.name, component.version, value))
    return found
