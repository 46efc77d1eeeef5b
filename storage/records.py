"""The vocabulary of stored experience: the records that are written to the store and read from it.

A *build* has the rows that one sampler drew for one event of one iteration. Builds, the scores of molecules, the rows
that a training run consumed and its checkpoint are written in one *commit*, which becomes one snapshot or nothing.
Records hold numpy arrays and plain values; the packages above turn them into tensors and molecules.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from molbuffer.storage.rows import Rows


class Event(StrEnum):
    """The event of an iteration that a build was drawn for: filling the buffer, a live batch, or an evaluation."""

    BUILD_BUFFER = "build_buffer"
    SAMPLE_BATCH = "sample_batch"
    EVALUATION = "evaluation"
    """Draws that evaluate a policy. They are stored with scores and rewards, but no training learns from them."""


class RunKind(StrEnum):
    """The work of a run."""

    BUILD = "build"
    PRETRAIN = "pretrain"
    TRAIN = "train"
    OFFLINE = "offline"
    SCORE = "score"
    IMPORT = "import"


class RunStatus(StrEnum):
    """An event in the life of a run; the newest event other than ``given`` is the status of the run.

    ``interrupted`` is the end by a signal. The detail of ``started`` and ``resumed`` is the process that works on the
    run, as JSON; the detail of ``failed`` and ``interrupted`` is the error. ``reconfigured`` comes before ``resumed``
    where a run continues with another configuration, which is its detail. ``given`` records the Python objects that a
    run was given for a build or a training, as JSON in its detail.
    """

    STARTED = "started"
    RESUMED = "resumed"
    RECONFIGURED = "reconfigured"
    GIVEN = "given"
    FINISHED = "finished"
    FAILED = "failed"
    INTERRUPTED = "interrupted"


class ScoreStatus(StrEnum):
    """The status of a score or reward: ok, still pending, or the reason why there is none.

    ``failed`` means that the molecule is at fault and has no score. ``lost`` means that the machine is at fault, for
    instance by a timeout: later runs compute the score again.
    """

    OK = "ok"
    FAILED = "failed"
    LOST = "lost"
    PENDING = "pending"


def now() -> datetime:
    """Return the present time in UTC as a datetime without a time zone, as timestamps are stored."""
    return datetime.now(UTC).replace(tzinfo=None)


def make_build_id(run_id: str, iteration: int, event: Event, sampler: str, chunk: int) -> str:
    """Return the id of a build, a hash of the arguments: a retry or duplicate has the same id, and so counts once."""
    text = "\x1f".join([run_id, str(iteration), event.value, sampler, str(chunk)])
    return hashlib.sha256(text.encode()).hexdigest()[:32]


@dataclass(frozen=True)
class ObjectiveComponent:
    """A component of an objective.

    Attributes:
        component: the name of the component.
        version: the version under which its scores are stored.
        weight: the weight in the aggregation.
        transform: the kind and the numbers of the transform of its raw values, as a JSON object.
        gate: the condition under which it scores a molecule, as a JSON object; None for any molecule. ``after`` is the
            condition as written, ``otherwise`` the transformed value where it is not met, and ``alternatives`` the
            conjunctions, of which one must hold, of comparisons {component, operator, number} of raw values.
        pessimism: by how many standard deviations its raw values count as worse than they are.
    """

    component: str
    version: str
    weight: float
    transform: str
    gate: str | None = None
    pessimism: float = 0.0


@dataclass(frozen=True)
class ObjectiveDefinition:
    """The parts of an objective, which explain its values without its configuration.

    Attributes:
        aggregation: the aggregation of the transformed values.
        components: its components, in order.
    """

    aggregation: str
    components: Sequence[ObjectiveComponent]


@dataclass(frozen=True)
class Run:
    """A run, with everything that is needed to trace where its samples came from.

    Attributes:
        run_id: the identity of the run.
        name: a name for people.
        kind: the work of the run.
        config: the configuration as a JSON text; for a stored run that was reconfigured, the newest one.
        seed: the seed of all draws.
        objective_sha256: the hash of the objective; None without one.
        code_version: the git commit of the code.
        libraries: the version of each library that affects the result, by name.
        host: the host that the run started on.
        user: the user who started it.
        pinned_snapshot: the snapshot that an offline training reads.
        selection: the selection of rows of an offline training, as JSON.
        parent_run_id: for an actor (kind BUILD), the learner, to which the actor's rows count; for an agent (kind
            TRAIN), the first agent of its group; None for any other run.
        definition: the parts of the objective, which are stored with the run; None in a run that is read back.
    """

    run_id: str
    name: str
    kind: RunKind
    config: str
    seed: int
    objective_sha256: str | None = None
    code_version: str = "unknown"
    libraries: Mapping[str, str] = field(default_factory=dict)
    host: str = ""
    user: str = ""
    pinned_snapshot: int | None = None
    selection: str | None = None
    parent_run_id: str | None = None
    definition: ObjectiveDefinition | None = None

    def __post_init__(self) -> None:
        if self.definition is not None and self.objective_sha256 is None:
            raise ValueError(f"run {self.run_id} has the definition of an objective, but no objective_sha256")


@dataclass(frozen=True)
class Score:
    """The raw value of one component for one molecule.

    Attributes:
        smiles: canonical SMILES.
        component: the name of the component.
        version: the hash of everything that affects the raw value.
        value: the raw value; a finite number if the status is ok, and otherwise usually None.
        status: the status of the score.
        error: the reason why scoring failed; None if it did not fail.
        seconds: the time that scoring took, in seconds.
        pose: the docked pose as a mol block with coordinates; None without a pose, and in a score that is read back.
        std: the standard deviation of the value; None where the component gives none.
    """

    smiles: str
    component: str
    version: str
    value: float | None
    status: ScoreStatus = ScoreStatus.OK
    error: str | None = None
    seconds: float = 0.0
    pose: str | None = None
    std: float | None = None

    def __post_init__(self) -> None:
        if self.status is ScoreStatus.OK and (self.value is None or not math.isfinite(self.value)):
            raise ValueError(f"a score with status ok needs a finite value, got {self.value} for {self.smiles!r}")


@dataclass(frozen=True)
class Reward:
    """The reward of one row of a build under one objective.

    Attributes:
        row: the number of the row in the build.
        objective_sha256: the hash of the objective.
        value: the reward; None unless the status is ok.
        status: the status of the reward.
    """

    row: int
    objective_sha256: str
    value: float | None
    status: ScoreStatus = ScoreStatus.OK

    def __post_init__(self) -> None:
        if (self.status is ScoreStatus.OK) != (self.value is not None and math.isfinite(self.value)):
            raise ValueError(f"row {self.row} has reward {self.value} with status {self.status}; finite means ok")


@dataclass(frozen=True)
class Metric:
    """A metric of a build or a training; ``value`` is None if it is undefined, such as the mean of no values."""

    name: str
    value: float | None


@dataclass(frozen=True)
class FileOrigin:
    """The row of a file that a sample was drawn from.

    Attributes:
        file: the path of the file.
        line: the line in which the row begins, counted from 1, a header included; for Parquet the row number.
        id: the text of the row in the id column; None without one.
    """

    file: str
    line: int
    id: str | None = None


class PickedBy(StrEnum):
    """The reason why screening chose a molecule for scoring."""

    MODEL = "model"
    """The model predicts a high reward."""
    CHANCE = "chance"
    """The molecule was drawn at random, so that the model also learns from molecules with a low prediction."""
    WARM_UP = "warm_up"
    """There are too few scores for a model yet."""


@dataclass(frozen=True)
class ScreenedRow:
    """The result of screening for a row.

    Attributes:
        mean: the predicted mean of the reward; None without a model.
        sd: the standard deviation of the reward around this mean; None without a model.
        acquisition: the value by which molecules are picked; None if there is none.
        picked_by: the reason why the molecule is scored; None if it is not scored.
    """

    mean: float | None = None
    sd: float | None = None
    acquisition: float | None = None
    picked_by: PickedBy | None = None


@dataclass(frozen=True)
class Samples:
    """The n rows of a build, both kept and rejected, in the order in which they were drawn.

    Attributes:
        raw: the strings as drawn [n].
        smiles: canonical SMILES [n]; None where the string is not a molecule.
        rejected_by: the name of the filter that rejected a row [n]; None where the row was kept.
        rows: the tokens, behaviour log-probabilities and other columns of the rows [n].
        source_smiles: the source of each pair [n]; None for samplers without sources.
        source_rows: the stored row that each source is [n], None where the source is not a stored row; None for
            samplers without stored sources.
        parents: the canonical SMILES of the molecules that were changed or joined to make each row [n]; None for
            samplers that make no rows from other molecules.
        origins: the row of a file that each row was drawn from [n]; None for samplers without a file.
        screened: the result of screening for each row [n], None for a row that was not screened; None without
            screening.
    """

    raw: Sequence[str]
    smiles: Sequence[str | None]
    rejected_by: Sequence[str | None]
    rows: Rows
    source_smiles: Sequence[str | None] | None = None
    source_rows: Sequence[RowId | None] | None = None
    parents: Sequence[tuple[str, ...]] | None = None
    origins: Sequence[FileOrigin | None] | None = None
    screened: Sequence[ScreenedRow | None] | None = None

    def __post_init__(self) -> None:
        n = len(self.raw)
        wrong = {name: len(column) for name, column in vars(self).items() if column is not None and len(column) != n}
        if wrong:
            raise ValueError(f"every column of a build needs {n} rows, as many as `raw`, got {wrong}")
        if self.rows.vocabulary_sha256 is None:
            raise ValueError("the rows of a build need the vocabulary that their tokens belong to, got None")

    def __len__(self) -> int:
        return len(self.raw)

    @property
    def vocabulary_sha256(self) -> str:
        """The vocabulary that the tokens belong to."""
        return str(self.rows.vocabulary_sha256)

    @property
    def kept(self) -> NDArray[np.bool_]:
        """Which rows passed every filter [n]."""
        return np.array([reason is None for reason in self.rejected_by], dtype=bool)


def no_samples(vocabulary_sha256: str) -> Samples:
    """Return the samples of a build without rows of its own."""
    return Samples([], [], [], Rows.blank(0, vocabulary_sha256))


@dataclass(frozen=True)
class Build:
    """The rows that one sampler drew for one event of one iteration, with their provenance.

    Attributes:
        chunk: the number of the part, for a build that is drawn in several parts; from 0.
        sampler_order: the position of the sampler in the configuration. Rows are ordered by (iteration, event,
            sampler_order, chunk, row), never by the order of a scan.
        policy_sha256: the hash of the policy that drew the rows; None for samplers without one.
        latent_sha256: the hash of the latent prior, or of the set of latent vectors, that the latents were drawn from;
            None without latents.
        references: stored rows that the build delivers again, instead of samples of its own; each at most once.
        rewards: at most one reward for each row and objective; rejected rows have none.
        scores: the scores that were computed for this build, without those found in the store.
        stage: the number of the stage of the run, from 0; None for a run without stages.
        screening: the model that screened the rows, as JSON; None without screening.
    """

    run_id: str
    iteration: int
    event: Event
    sampler: str
    sampler_kind: str
    samples: Samples
    chunk: int = 0
    sampler_order: int = 0
    policy_sha256: str | None = None
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    latent_sha256: str | None = None
    seed: int = 0
    objective_sha256: str | None = None
    references: Sequence[RowId] = ()
    rewards: Sequence[Reward] = ()
    scores: Sequence[Score] = ()
    metrics: Sequence[Metric] = ()
    attempt_id: str = ""
    flow_run_id: str | None = None
    task_run_id: str | None = None
    stage: int | None = None
    screening: str | None = None
    started: datetime = field(default_factory=now)
    ended: datetime = field(default_factory=now)

    @property
    def build_id(self) -> str:
        """The id of the build, which follows from (run, iteration, event, sampler, chunk)."""
        return make_build_id(self.run_id, self.iteration, self.event, self.sampler, self.chunk)

    @property
    def truncated(self) -> bool:
        """Whether the rows were drawn with top_k or top_p."""
        return truncates(self.top_k, self.top_p)


def truncates(top_k: int | None, top_p: float | None) -> bool:
    """Return whether these settings exclude tokens from drawing; top_k of None or 0 and top_p of None or 1 do not."""
    return bool(top_k) or (top_p is not None and top_p < 1)


@dataclass(frozen=True)
class PolicyVersion:
    """A version of a policy that drew samples, was published, or was checkpointed.

    Attributes:
        weights_kept: whether the weights are in the store's ``policies`` folder. Of a version that only drew a live
            batch, the store keeps the hash alone, and the lineage names its nearest kept ancestor.
    """

    sha256: str
    kind: str
    parent_sha256: str | None = None
    run_id: str | None = None
    iteration: int | None = None
    weights_kept: bool = False


@dataclass(frozen=True)
class Consumed:
    """Rows of a build that were delivered to a training run at an iteration."""

    build_id: str
    rows: Sequence[int]
    iteration: int


@dataclass(frozen=True)
class BucketedMolecule:
    """A molecule that the diversity memory of a run counts.

    Attributes:
        iteration: the iteration that first drew it; -1 for a molecule of an earlier run.
        smiles: canonical SMILES.
        bucket: the name of its bucket.
    """

    iteration: int
    smiles: str
    bucket: str


@dataclass(frozen=True)
class Checkpoint:
    """The state of a training run after ``iteration`` iterations.

    Attributes:
        files: the content of each file of the checkpoint by plain file name; the store writes and fsyncs them before
            the commit that names them.
        snapshot: the snapshot that the run's loader is pinned to.
    """

    run_id: str
    iteration: int
    files: Mapping[str, bytes]
    snapshot: int | None = None


@dataclass(frozen=True)
class Commit:
    """The records that become visible together. A record whose identity is committed already is not stored again.

    Attributes:
        run_id: the training run that ``consumed``, ``run_metrics`` and ``bucketed`` belong to; None without these.
        run_metrics: metrics of the training itself as (iteration, metric).
        bucketed: the molecules that the diversity memory counts, in the order in which it counted them.
    """

    builds: Sequence[Build] = ()
    scores: Sequence[Score] = ()
    policies: Sequence[PolicyVersion] = ()
    run_id: str | None = None
    consumed: Sequence[Consumed] = ()
    run_metrics: Sequence[tuple[int, Metric]] = ()
    bucketed: Sequence[BucketedMolecule] = ()
    checkpoint: Checkpoint | None = None
    author: str = "molbuffer"
    message: str = ""


@dataclass(frozen=True)
class RowId:
    """The identity of a stored row."""

    build_id: str
    row: int
