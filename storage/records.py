"""The vocabulary of stored experience: the records that go into the store and come out of it.

A *build* is what one sampler drew for one event of one iteration. Builds, the scores of molecules, the rows a training
run consumed and its checkpoint go into the store together in one *commit*, which becomes one snapshot or nothing.
Records hold numpy arrays and plain values; the rooms above turn them into tensors and molecules.
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
    """The event of an iteration that a build was drawn for: filling the buffer, or a live batch."""

    BUILD_BUFFER = "build_buffer"
    SAMPLE_BATCH = "sample_batch"
    EVALUATION = "evaluation"
    """Draws by which a policy is judged. They are history with scores and rewards, and no training learns from them."""


class RunKind(StrEnum):
    """What a run does."""

    BUILD = "build"
    PRETRAIN = "pretrain"
    TRAIN = "train"
    OFFLINE = "offline"
    SCORE = "score"
    IMPORT = "import"


class RunStatus(StrEnum):
    """An event in the life of a run; the newest is its status, of all but ``given``.

    ``interrupted`` is the end by a signal. The detail of ``started`` and ``resumed`` is the process that works on the
    run, as JSON; that of ``failed`` and ``interrupted`` is the error. ``reconfigured`` comes before ``resumed`` where a
    run goes on with another configuration, which is the detail. ``given`` says what a run from Python was given for a
    build or a training, as JSON in the detail.
    """

    STARTED = "started"
    RESUMED = "resumed"
    RECONFIGURED = "reconfigured"
    GIVEN = "given"
    FINISHED = "finished"
    FAILED = "failed"
    INTERRUPTED = "interrupted"


class ScoreStatus(StrEnum):
    """Whether a score or reward stands (ok) or is still to come (pending), or why there is none.

    Failed is a property of the molecule, which has no score. Lost is one of the machinery, which did not answer: runs
    after the one that lost the score try again.
    """

    OK = "ok"
    FAILED = "failed"
    LOST = "lost"
    PENDING = "pending"


def now() -> datetime:
    """Return the present in UTC, without a zone: timestamps are stored as UTC."""
    return datetime.now(UTC).replace(tzinfo=None)


def make_build_id(run_id: str, iteration: int, event: Event, sampler: str, chunk: int) -> str:
    """Return the deterministic name of a build: a retry or a duplicate attempt gets the same one and so counts once."""
    text = "\x1f".join([run_id, str(iteration), event.value, sampler, str(chunk)])
    return hashlib.sha256(text.encode()).hexdigest()[:32]


@dataclass(frozen=True)
class ObjectiveComponent:
    """A component of an objective.

    Attributes:
        component: its name.
        version: the version under which its scores are stored.
        weight: in the aggregation.
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
    """What an objective is made of, so that its values can be explained without its configuration.

    Attributes:
        aggregation: the aggregation of the transformed values.
        components: its components, in order.
    """

    aggregation: str
    components: Sequence[ObjectiveComponent]


@dataclass(frozen=True)
class Run:
    """One invocation and everything needed to say where its samples came from.

    Attributes:
        run_id: the identity of the run.
        name: a name for people.
        kind: the work of the run.
        config: the configuration as a JSON text; of a stored run that went on with another one, the newest.
        seed: the seed of all draws.
        objective_sha256: the hash of the objective; None without one.
        code_version: the git commit of the code.
        libraries: the version of each library that matters for the result, by name.
        host: the host that the run started on.
        user: the user who started it.
        pinned_snapshot: the snapshot that an offline training reads.
        selection: the selection of rows of an offline training, as JSON.
        parent_run_id: of an actor (kind BUILD), its learner, whose rows its own count as; of an agent (kind TRAIN), the
            first agent of its group; None of any other run.
        definition: what the objective is made of, which is stored with the run; None in a run that is read back.
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
            raise ValueError(f"run {self.run_id} has the definition of an objective, and no objective_sha256")


@dataclass(frozen=True)
class Score:
    """The raw value of one component for one molecule.

    Attributes:
        smiles: canonical SMILES.
        component: the name of the component.
        version: the hash of all that affects the raw value.
        value: the raw value; None unless the status is ok, or the value is of no use without a transform.
        status: whether the score stands.
        error: why scoring failed; None when it did not.
        seconds: the time that scoring took.
        pose: what was scored, as a mol block with coordinates; None without one, and in a score that is read back.
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
    """The reward of one row of a build under one objective; ``value`` is None unless the status is ok."""

    row: int
    objective_sha256: str
    value: float | None
    status: ScoreStatus = ScoreStatus.OK

    def __post_init__(self) -> None:
        if (self.status is ScoreStatus.OK) != (self.value is not None and math.isfinite(self.value)):
            raise ValueError(f"row {self.row} has reward {self.value} with status {self.status}; finite means ok")


@dataclass(frozen=True)
class Metric:
    """A metric of a build or a training; ``value`` is None when it is undefined (a mean of nothing)."""

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
    """Why screening has a molecule scored."""

    MODEL = "model"
    """The model expects much of it."""
    CHANCE = "chance"
    """It was drawn by lot, so that the model learns of molecules that it expects nothing of."""
    WARM_UP = "warm_up"
    """There are too few scores for a model yet."""


@dataclass(frozen=True)
class ScreenedRow:
    """What screening says of a row.

    Attributes:
        mean: the reward that the model expects; None without a model.
        sd: the standard deviation of a measured reward around that.
        acquisition: the value by which molecules are picked.
        picked_by: why the molecule is scored; None if it is not.
    """

    mean: float | None = None
    sd: float | None = None
    acquisition: float | None = None
    picked_by: PickedBy | None = None


@dataclass(frozen=True)
class Samples:
    """The n rows of a build, kept and rejected ones, in the order they were drawn.

    Attributes:
        raw: the strings as drawn [n].
        smiles: canonical SMILES [n], None where the string is no molecule.
        rejected_by: the name of the filter that refused a row [n]; None where the row was kept.
        rows: their tokens, behaviour log-probabilities and whatever else the sampler gave [n].
        source_smiles: the source of each pair [n], None for samplers without sources.
        source_rows: the stored row each source is [n], None where it is none.
        parents: the canonical SMILES of the molecules that each row was made of by changing or joining them [n]; None
            for samplers that change none.
        origins: the row of a file that each row was drawn from [n]; None for samplers without a file.
        screened: what screening says of each row [n], None for one that it did not see; None without screening.
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
            raise ValueError(f"every column of a build needs {n} rows as raw has, got {wrong}")
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
    """Return the samples of a build that has none of its own."""
    return Samples([], [], [], Rows.blank(0, vocabulary_sha256))


@dataclass(frozen=True)
class Build:
    """What one sampler drew for one event of one iteration, with its provenance.

    Attributes:
        chunk: the number of the part, of a build that is drawn in several.
        sampler_order: the sampler's place in the configuration. Rows are ordered by (iteration, event, sampler_order,
            chunk, row), never by scan order.
        policy_sha256: the hash of the policy that drew the rows; None for samplers without one.
        latent_sha256: the hash of the latent prior, or of the latent vectors, that the latents were drawn from; None
            without latents.
        references: stored rows that the build gives once more, instead of samples of its own; each at most once.
        rewards: at most one a row and objective; rejected rows have none.
        scores: those computed for this build, not those found in the store.
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
        """Deterministic in (run, iteration, event, sampler, chunk)."""
        return make_build_id(self.run_id, self.iteration, self.event, self.sampler, self.chunk)

    @property
    def truncated(self) -> bool:
        """Whether the rows were drawn with top_k or top_p."""
        return truncates(self.top_k, self.top_p)


def truncates(top_k: int | None, top_p: float | None) -> bool:
    """Return whether these settings leave tokens out; None and 0 of top_k, None and 1 of top_p do not."""
    return bool(top_k) or (top_p is not None and top_p < 1)


@dataclass(frozen=True)
class PolicyVersion:
    """A version of a policy that drew samples, was published, or was checkpointed.

    Attributes:
        weights_kept: whether the weights are in the store's ``policies`` folder; versions that only drew a live batch
            are known by hash, and lineage names their nearest kept ancestor.
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
    """All that becomes visible together. Parts already committed under their identity are skipped, not doubled.

    Attributes:
        run_id: the training run that ``consumed``, ``run_metrics`` and ``bucketed`` belong to; None without these.
        run_metrics: metrics of the training itself as (iteration, metric).
        bucketed: the molecules that its diversity memory counts, in the order in which it counted them.
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
