"""Descriptions of all tables, views and columns of a store.

The reference in the documentation is made from these texts, and a test checks that none is missing. A column that a
view takes from a table has the description of the table's column.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Description:
    """The description of a table or view.

    Attributes:
        text: a sentence that says what one row is.
        columns: the description of each column, in the order of the columns.
    """

    text: str
    columns: Mapping[str, str]


_CREATED = "When the row was written, in UTC."
_RUN = "The run, in `runs`."
_BUILD = "The build, in `builds`: a hash of run, iteration, event, sampler and chunk."
_ROW = "The position of the sample in its build, from 0."
_ITERATION = "The iteration of the run, from 0."
_SMILES = "The molecule: canonical isomeric SMILES after the standardisation of the run."
_OBJECTIVE = "The sha256 of the objective, in `objectives`."
_COMPONENT = "The name of the component."
_VERSION = "The version of the component: a hash of everything that decides its raw values."
_SEGMENT = "The name of the folder in `arrays/` that has the tokens, likelihoods and latent vectors of the rows."
_OFFSET = "The row of the segment at which the build begins."
_POLICY = "The sha256 of the policy that drew the rows, in `policies`; null for samplers without one."
_SCORE_STATUS = (
    "`ok`; `failed` where the molecule is at fault, for good; `lost` where the machine is at fault, until the next "
    "run; `pending` before the score is computed."
)
_TRANSFORM = "The transform of raw values to [0, 1], as JSON: its kind and its numbers."
_GATE = "The condition under which the component scores a molecule, as JSON; null if it scores every molecule."
_PESSIMISM = "The number of standard deviations by which raw values count as worse than they are."
_AGGREGATION = (
    "The aggregation of transformed values to a reward: `geometric_mean`, `arithmetic_mean`, `product` or `pareto`."
)
_WEIGHT = "The weight of the component, relative to the other weights."
_POSITION = "The place of the component in the objective, from 0."

_TABLES: Mapping[str, Description] = {
    "migrations": Description(
        "A change of the schema that this store has had.",
        {"number": "Its number, from 1.", "name": "Its purpose.", "applied": "When it was applied, in UTC."},
    ),
    "commit_fence": Description(
        "One row, kept from earlier releases, that nothing reads.",
        {"id": "Always 1.", "commits": "Always 0 in new stores."},
    ),
    "runs": Description(
        "A run: one invocation, with the provenance of its samples.",
        {
            "run_id": "The identity of the run.",
            "name": "The name of the campaign, or of the run in Python.",
            "kind": "The work of the run: `build`, `train`, `offline`, `pretrain`, `score` or `import`.",
            "parent_run_id": "The learner of an actor, or the first agent of the group of an agent; null for any other "
            "run.",
            "config": "The configuration with which the run began, as JSON; a later one is in `run_events`.",
            "config_sha256": "The sha256 of that configuration.",
            "seed": "The seed of all draws.",
            "code_version": "The git commit of molbuffer, with `-dirty` where files differed from it; `unknown` "
            "without git.",
            "libraries": "The versions of the libraries that affect the result, and the hashes of the sources of kinds "
            "that are not molbuffer's own, as JSON.",
            "host": "The host on which it started.",
            "user": "The user who started it.",
            "objective_sha256": "The sha256 of its objective; null without one.",
            "pinned_snapshot": "The snapshot whose rows an offline training reads; null for other runs.",
            "selection": "The selection of rows of an offline training, as JSON; null for other runs.",
            "created": _CREATED,
        },
    ),
    "run_events": Description(
        "An event in the life of a run. The newest event other than `given` is the status of the run.",
        {
            "run_id": _RUN,
            "status": "`started`, `resumed`, `reconfigured` (with another configuration), `given` (a run in Python was "
            "given objects), `finished`, `failed` or `interrupted`.",
            "detail": "The process for `started` and `resumed`, the configuration for `reconfigured`, the objects for "
            "`given`, as JSON; the error for `failed` and `interrupted`; the reason of an early end for `finished`.",
            "created": _CREATED,
        },
    ),
    "builds": Description(
        "The rows that one sampler drew for one event of one iteration, or one chunk of them.",
        {
            "build_id": "Its identity: a hash of run, iteration, event, sampler and chunk, so that a retry counts "
            "once.",
            "attempt_id": "The attempt that was committed, if there were several.",
            "run_id": _RUN,
            "iteration": _ITERATION,
            "event": "`build_buffer`, `sample_batch` (live rows of a batch) or `evaluation` (rows that evaluate a "
            "policy).",
            "sampler": "The name of the sampler.",
            "sampler_kind": "Its kind, such as `model` or `dataset`.",
            "sampler_order": "The position of the sampler in the configuration, from 0; rows are ordered by it.",
            "chunk": "The number of the chunk, from 0.",
            "policy_sha256": _POLICY,
            "temperature": "The temperature at which tokens were drawn; null without a policy.",
            "top_k": "The number of most likely tokens that each token was drawn from; null for all.",
            "top_p": "The probability of the smallest set that each token was drawn from; null for all.",
            "seed": "The seed of its draws.",
            "objective_sha256": "The sha256 of the objective of its rewards; null without one.",
            "drawn": "The number of rows that were drawn, including rejected rows.",
            "parseable": "The number of rows that are molecules.",
            "kept": "The number of rows that passed every filter.",
            "mean_reward": "The mean reward of the kept rows with a reward; null without any.",
            "vocabulary_sha256": "The sha256 of the vocabulary of the tokens.",
            "segment": _SEGMENT + " `current_placements` has the present place if they were moved.",
            "segment_offset": _OFFSET,
            "flow_run_id": "The flow run of Prefect; null without Prefect.",
            "task_run_id": "The task run of Prefect; null without Prefect.",
            "started": "When the first row was drawn, in UTC.",
            "ended": "When the last score was computed, in UTC.",
            "created": _CREATED,
            "latent_sha256": "The sha256 of the latent prior or latent vectors that rows were decoded from; null "
            "without latent vectors.",
            "readmitted": "The number of stored rows that the build delivers again, in `readmitted`.",
            "stage": "The stage of the run, from 0; null for a run without stages.",
            "screening": "The model that screened the rows, as JSON: settings, number of scores, seed, snapshot; null "
            "without screening.",
        },
    ),
    "samples": Description(
        "A string that was drawn, kept or rejected.",
        {
            "build_id": _BUILD,
            "row": _ROW,
            "smiles": _SMILES + " Null where the string is not a molecule.",
            "raw": "The string as it was drawn.",
            "source_smiles": "The source of a pair; null for a sample that is no pair.",
            "source_build_id": "The build of the stored row that is the source; null if it is not a stored row.",
            "source_row": "The row of the source in that build.",
            "kept": "Whether the sample passed every filter.",
            "rejected_by": "Why the sample was not kept: the name of the filter, `validity` (no molecule), `length`, "
            "`vocabulary`, `duplicate`, `choice`, `screening` or `budget`, or `source` for pairs; null for kept rows.",
            "iteration": _ITERATION,
            "created": _CREATED,
            "file": "The file from which the sample was drawn; null for samplers without a file.",
            "file_line": "The line of the file, or the row of a Parquet file, from 1.",
            "file_id": "The text of the id column in that line; null without an id column.",
            "predicted_reward": "The reward that the screening model predicted; null without a model.",
            "predicted_sd": "The standard deviation of the reward around the prediction.",
            "acquisition": "The value by which screening picks molecules.",
            "picked_by": "Why a screened row was scored: `model`, `chance` or `warm_up`; null if it was not scored.",
            "parents": "The canonical SMILES of the molecules that were changed or joined to make the sample, "
            "separated by spaces; null for samplers that make no rows from other molecules.",
        },
    ),
    "rewards": Description(
        "The reward of a sample under an objective; a sample has a reward for each objective that scored it.",
        {
            "build_id": _BUILD,
            "row": _ROW,
            "objective_sha256": _OBJECTIVE,
            "value": "The reward, in [0, 1], or in [-1, 1] for a pair; null unless the status is `ok`.",
            "status": "`ok`, or why there is no reward: `failed`, `lost` or `pending`.",
            "run_id": "The run that computed the reward.",
            "created": _CREATED,
        },
    ),
    "scores": Description(
        "A score of a component for a molecule. A score that was tried again has several rows; `score_cache` has the "
        "best one.",
        {
            "smiles": _SMILES,
            "component": _COMPONENT,
            "version": _VERSION,
            "value": "The raw value; null unless the status is `ok`, or the value is of no use without a transform.",
            "status": _SCORE_STATUS,
            "error": "Why there is no value; null if there is a value.",
            "seconds": "The time that scoring took, in seconds.",
            "run_id": "The run that computed the score.",
            "created": _CREATED,
            "std": "The standard deviation of the value; null where the component gives none.",
        },
    ),
    "metrics": Description(
        "A metric of a build, or of an iteration of a run; the reference of metrics explains each of them.",
        {
            "run_id": _RUN,
            "build_id": "The build of the metric; null for a metric of an iteration.",
            "iteration": _ITERATION,
            "sampler": "The sampler; null for a metric of an iteration.",
            "event": "The event of the build; null for a metric of an iteration.",
            "name": "The name of the metric.",
            "value": "The value of the metric; null if it is undefined, such as the mean of no values.",
            "created": _CREATED,
        },
    ),
    "policies": Description(
        "A version of a policy that drew samples, was published or is in a checkpoint. `lineage` has one row for each.",
        {
            "sha256": "The sha256 of its files, which names the version.",
            "kind": "The kind of its model, such as `gru`.",
            "parent_sha256": "The version from which it was trained; null for the first version.",
            "run_id": "The run that made it; null for a policy that was not made in this store.",
            "iteration": "The iteration that made it.",
            "weights_kept": "Whether its weights are in the folder `policies/` of the store.",
            "created": _CREATED,
        },
    ),
    "consumed": Description(
        "A stored row that was delivered to a training.",
        {
            "run_id": "The run of the training.",
            "build_id": _BUILD,
            "row": _ROW,
            "iteration": "The iteration of the training to which the row was delivered.",
            "created": _CREATED,
        },
    ),
    "checkpoints": Description(
        "A checkpoint of a training, from which its run is resumed.",
        {
            "run_id": _RUN,
            "iteration": "The number of iterations after which the checkpoint was made.",
            "folder": "Its folder, in `checkpoints/` of the store.",
            "snapshot": "The snapshot of the buffer that the training reads.",
            "created": _CREATED,
        },
    ),
    "placements": Description(
        "A place to which the arrays of a build were moved when segments were compacted or repaired.",
        {
            "build_id": _BUILD,
            "generation": "How often the arrays had been moved; the row with the highest number is valid.",
            "segment": _SEGMENT,
            "segment_offset": _OFFSET,
            "created": _CREATED,
        },
    ),
    "quarantine": Description(
        "A damaged segment, whose rows training leaves out.",
        {"segment": _SEGMENT, "reason": "The damage.", "created": _CREATED},
    ),
    "archives": Description(
        "An archive that was made of this store, with one row for each run that was asked for; the archive keeps its "
        "snapshot from expiring.",
        {
            "archive_id": "The identity of the archive.",
            "snapshot": "The snapshot of which it was made.",
            "run_id": "A run whose rows it has; null if it was not limited to runs.",
            "predicate": "The SQL condition of its rows; null for all rows.",
            "rows": "The number of its samples.",
            "created": _CREATED,
        },
    ),
    "readmitted": Description(
        "A stored row that a build delivers again, such as a row of a `history` sampler.",
        {
            "build_id": "The build that delivers the row again.",
            "position": "The position of the row in that build, from 0.",
            "source_build_id": "The build that drew the stored row.",
            "source_row": "The number of the row in the build that drew it.",
            "created": _CREATED,
        },
    ),
    "objectives": Description(
        "A component of an objective, recorded when a run started. `objective_components` also has the objectives of "
        "older runs.",
        {
            "objective_sha256": "The sha256 of the objective.",
            "position": _POSITION,
            "component": _COMPONENT,
            "version": _VERSION,
            "weight": _WEIGHT,
            "transform": _TRANSFORM,
            "aggregation": _AGGREGATION,
            "created": _CREATED,
            "gate": _GATE,
            "pessimism": _PESSIMISM,
        },
    ),
    "bucketed_molecules": Description(
        "A molecule that the diversity memory of a run counts.",
        {
            "run_id": _RUN,
            "position": "Its position in the order in which the memory counted molecules, from 0.",
            "iteration": "The iteration that first drew the molecule; -1 for a molecule of an earlier run.",
            "smiles": _SMILES,
            "bucket": "The name of its bucket, such as a scaffold.",
            "created": _CREATED,
        },
    ),
    "poses": Description(
        "The pose of a docked molecule; `scored_poses` has the pose with its energy.",
        {
            "smiles": _SMILES,
            "component": _COMPONENT,
            "version": _VERSION,
            "pose": "A mol block with hydrogens, in the coordinates of the receptor.",
            "run_id": "The run that docked the molecule.",
            "created": _CREATED,
        },
    ),
}


def _of(table: str, *columns: str) -> dict[str, str]:
    """Return the descriptions of columns of a table, by the name of the column."""
    return {column: _TABLES[table].columns[column] for column in columns}


_VIEWS: Mapping[str, Description] = {
    "sample_history": Description(
        "A sample, kept or rejected, with its reward and its provenance: the view to start with.",
        {
            "run_id": _RUN,
            "run_name": "The name of the run.",
            "run_kind": "The kind of the run.",
            **_of("samples", "build_id", "row", "iteration"),
            **_of(
                "builds", "event", "sampler", "sampler_kind", "sampler_order", "chunk", "policy_sha256", "latent_sha256"
            ),
            **_of("builds", "temperature", "top_k", "top_p"),
            **_of("samples", "smiles", "raw", "source_smiles", "source_build_id", "source_row", "kept", "rejected_by"),
            "reward": "The reward under the objective of the build, in [0, 1]; null unless the status is `ok`.",
            "reward_status": "`ok`, or why there is no reward: `failed`, `lost` or `pending`; null for rejected rows.",
            "objective_sha256": "The sha256 of the objective of the reward.",
            **_of("samples", "created", "file", "file_line", "file_id"),
            **_of("builds", "stage"),
            **_of("samples", "predicted_reward", "predicted_sd", "acquisition", "picked_by", "parents"),
        },
    ),
    "top_molecules": Description(
        "A kept molecule with a reward, with one row for each objective, the best first.",
        {
            "smiles": _SMILES,
            "reward": "Its largest reward under the objective.",
            "objective_sha256": _OBJECTIVE,
            "times_drawn": "The number of times that the molecule was drawn and kept.",
            "first_run_id": "The run that drew the molecule first.",
            "first_build_id": "The build that drew the molecule first.",
            "first_row": "Its row in that build.",
            "first_policy_sha256": "The policy that drew the molecule first; null without a policy.",
            "first_created": "When the molecule was first stored, in UTC.",
        },
    ),
    "score_cache": Description(
        "The valid score of a molecule by a version of a component: the newest good score, or else the newest failed "
        "one, or else the newest lost one.",
        _of("scores", "smiles", "component", "version", "value", "status", "error", "seconds", "created"),
    ),
    "current_placements": Description(
        "The present place of the arrays of a build, if they were moved.",
        _of("placements", "build_id", "segment", "segment_offset", "generation"),
    ),
    "buckets": Description(
        "A bucket of the diversity memory of a run, the largest first.",
        {
            "run_id": _RUN,
            "bucket": "The name of the bucket, such as a scaffold.",
            "molecules": "The number of molecules in it.",
            "first_iteration": "The iteration that drew the first molecule; -1 for an earlier run.",
            "last_iteration": "The iteration that drew the newest molecule.",
        },
    ),
    "scored_poses": Description(
        "The pose of a docked molecule, with its energy.",
        {
            **_of("poses", "smiles", "component", "version"),
            "value": "The raw value of the component: the energy, in kcal/mol.",
            **_of("poses", "pose", "run_id", "created"),
        },
    ),
    "lineage": Description(
        "A version of a policy, with the nearest ancestor whose weights are in the store.",
        {
            **_of("policies", "sha256", "kind", "parent_sha256", "run_id", "iteration", "weights_kept", "created"),
            "kept_ancestor": "The nearest ancestor, the version itself included, whose weights are kept; null without "
            "one.",
            "updates_since_kept": "The number of updates from this ancestor to the version; 0 for the version itself.",
        },
    ),
    "objective_components": Description(
        "A component of an objective: as recorded when a run started, or from the configuration of an older run.",
        {
            **_of("objectives", "objective_sha256", "position", "component"),
            "version": _VERSION + " Null if it is not recorded and no score has it.",
            **_of("objectives", "weight", "transform", "aggregation", "gate", "pessimism"),
        },
    ),
    "molecule_scores": Description(
        "A component of a molecule's reward under an objective, with its raw and transformed value.",
        {
            "smiles": _SMILES,
            "objective_sha256": _OBJECTIVE,
            "position": _POSITION,
            "component": _COMPONENT,
            "version": _VERSION,
            "raw_value": "The raw value; null without a good score, and where the gate is closed.",
            "transformed_value": "The raw value after the transform, in [0, 1]; where the gate is closed, the value "
            "that the gate gives instead.",
            "weight": _WEIGHT,
            "status": "`ok`; `gated` where the gate is closed; else `failed`, `lost` or `pending`.",
            "error": "Why there is no value.",
            "reward": "The reward of the molecule under the objective.",
            "reward_status": "`ok`, or why there is no reward.",
        },
    ),
}

DESCRIPTIONS: Mapping[str, Description] = {**_TABLES, **_VIEWS}
"""The description of every table and view, by name."""
