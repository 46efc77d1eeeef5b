"""What every table, view and column of a store means: the one place where it is said.

The reference of the documentation is made of these texts, and a test sees to it that none is missing. Views take the
texts of the columns that they take from tables.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Description:
    """What a table or view is for.

    Attributes:
        text: a row of it, in a sentence.
        columns: what each column means, in the order of the columns.
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
    "`ok`; `failed` where the molecule is at fault, for good; `lost` where the machinery is, until the next run; "
    "`pending` while it is still to come."
)
_TRANSFORM = "The transform of raw values to [0, 1], as JSON: its kind and its numbers."
_GATE = "The condition under which the component scores a molecule, as JSON; null for any."
_PESSIMISM = "By how many standard deviations raw values count as worse than they are."
_AGGREGATION = "How transformed values become one reward: `geometric_mean`, `arithmetic_mean`, `product` or `pareto`."
_WEIGHT = "The weight of the component, relative to the other weights."
_POSITION = "The place of the component in the objective, from 0."

_TABLES: Mapping[str, Description] = {
    "migrations": Description(
        "A change of the schema that this store has had.",
        {"number": "Its number, from 1.", "name": "What it was for.", "applied": "When it was made, in UTC."},
    ),
    "commit_fence": Description(
        "One row that stores have from earlier, and that nothing reads.",
        {"id": "Always 1.", "commits": "Always 0 in new stores."},
    ),
    "runs": Description(
        "A run: one invocation, with everything that its samples came from.",
        {
            "run_id": "The identity of the run.",
            "name": "The name of the campaign, or of the run in Python.",
            "kind": "What it does: `build`, `train`, `offline`, `pretrain`, `score` or `import`.",
            "parent_run_id": "The run that has started this one: of an actor, its learner; of an agent, the first "
            "agent of its group; null of any other run.",
            "config": "The configuration that it began with, as JSON; a later one is in `run_events`.",
            "config_sha256": "The hash of that configuration.",
            "seed": "The seed that all draws follow from.",
            "code_version": "The git commit of molbuffer, with `-dirty` where files differed from it; `unknown` "
            "without git.",
            "libraries": "The versions of the libraries that matter for the result, and the hashes of the sources of "
            "kinds "
            "that are not molbuffer's own, as JSON.",
            "host": "The host that it started on.",
            "user": "The user who started it.",
            "objective_sha256": "The sha256 of its objective; null without one.",
            "pinned_snapshot": "The snapshot whose rows an offline training reads; null for other runs.",
            "selection": "The selection of rows of an offline training, as JSON; null for other runs.",
            "created": _CREATED,
        },
    ),
    "run_events": Description(
        "An event in the life of a run. The newest is its status, of all but `given`.",
        {
            "run_id": _RUN,
            "status": "`started`, `resumed`, `reconfigured` (with another configuration), `given` (what a run of "
            "Python was "
            "given), `finished`, `failed` or `interrupted`.",
            "detail": "Of `started` and `resumed` the process, of `reconfigured` the configuration, of `given` the "
            "arguments, as JSON; of `failed` and `interrupted` the error; of `finished` the reason for an early end.",
            "created": _CREATED,
        },
    ),
    "builds": Description(
        "What one sampler drew for one event of one iteration, in one chunk or several.",
        {
            "build_id": "Its identity: a hash of run, iteration, event, sampler and chunk, so that a retry counts "
            "once.",
            "attempt_id": "The attempt that was committed, of all that were made at it.",
            "run_id": _RUN,
            "iteration": _ITERATION,
            "event": "`build_buffer`, `sample_batch` (live rows of a batch) or `evaluation` (rows that judge a "
            "policy).",
            "sampler": "The name of the sampler.",
            "sampler_kind": "Its kind, such as `model` or `dataset`.",
            "sampler_order": "Its place in the configuration, from 0; rows are ordered by it.",
            "chunk": "The number of the part, from 0, where a build is drawn in several.",
            "policy_sha256": _POLICY,
            "temperature": "The temperature that tokens were drawn at; null without a policy.",
            "top_k": "Tokens were drawn from the k likeliest; null for all.",
            "top_p": "Tokens were drawn from the smallest set with this probability; null for all.",
            "seed": "The seed of its draws.",
            "objective_sha256": "The sha256 of the objective that its rewards are under; null without one.",
            "drawn": "The number of rows that were asked of the generator, rejected ones included.",
            "parseable": "The number of rows that are molecules.",
            "kept": "The number of rows that passed every filter.",
            "mean_reward": "The mean reward of the kept rows that have one; null without any.",
            "vocabulary_sha256": "The hash of the vocabulary that the tokens belong to.",
            "segment": _SEGMENT + " `current_placements` says where they are now.",
            "segment_offset": _OFFSET,
            "flow_run_id": "The flow run of Prefect; null without.",
            "task_run_id": "The task run of Prefect; null without.",
            "started": "When the first row was drawn, in UTC.",
            "ended": "When the last score was there, in UTC.",
            "created": _CREATED,
            "latent_sha256": "The sha256 of the latent prior or vectors that rows were decoded from; null without.",
            "readmitted": "The number of stored rows that the build gives once more, in `readmitted`.",
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
            "smiles": _SMILES + " Null where the string is no molecule.",
            "raw": "The string as it was drawn.",
            "source_smiles": "The source that the sample was made of, of pairs; null for others.",
            "source_build_id": "The build of the row that the source is; null where it is no stored row.",
            "source_row": "The row of that build.",
            "kept": "Whether it passed every filter.",
            "rejected_by": "Why it was not kept: the name of the filter, `validity` (no molecule), `length`, "
            "`vocabulary`, "
            "`duplicate`, `choice`, `screening` or `budget`, and `source` of pairs; null for kept rows.",
            "iteration": _ITERATION,
            "created": _CREATED,
            "file": "The file that it was drawn from; null for other samplers.",
            "file_line": "The line of the file, or the row of a Parquet file, from 1.",
            "file_id": "The text of the id column in that line; null without one.",
            "predicted_reward": "The reward that the screening model expected; null without one.",
            "predicted_sd": "The standard deviation of the reward around that.",
            "acquisition": "The value by which screening picks.",
            "picked_by": "Why a screened row was scored: `model`, `chance` or `warm_up`; null if it was not.",
            "parents": "The canonical SMILES of the molecules that were changed or joined to make it, with a space "
            "between two; null for samplers that change none.",
        },
    ),
    "rewards": Description(
        "The reward of a sample under an objective: a sample has one for each objective that it was scored under.",
        {
            "build_id": _BUILD,
            "row": _ROW,
            "objective_sha256": _OBJECTIVE,
            "value": "The reward: in [0, 1], of a pair in [-1, 1]; null unless the status is `ok`.",
            "status": "`ok`, or why there is none: `failed`, `lost` or `pending`.",
            "run_id": "The run that computed it.",
            "created": _CREATED,
        },
    ),
    "scores": Description(
        "A result of a component for a molecule. One that was tried again has several rows; `score_cache` has the "
        "best.",
        {
            "smiles": _SMILES,
            "component": _COMPONENT,
            "version": _VERSION,
            "value": "The raw value; null unless the status is `ok`, or the value is of no use without a transform.",
            "status": _SCORE_STATUS,
            "error": "Why there is no value; null if there is one.",
            "seconds": "The time that it took.",
            "run_id": "The run that computed it.",
            "created": _CREATED,
            "std": "The standard deviation of the value; null where the component gives none.",
        },
    ),
    "metrics": Description(
        "A metric of a build, or of an iteration of a run; the metrics themselves are explained in their own "
        "reference.",
        {
            "run_id": _RUN,
            "build_id": "The build that it is of; null for a metric of an iteration.",
            "iteration": _ITERATION,
            "sampler": "The sampler; null for a metric of an iteration.",
            "event": "The event of the build; null for a metric of an iteration.",
            "name": "The name of the metric.",
            "value": "Its value; null where it is undefined, such as a mean of nothing.",
            "created": _CREATED,
        },
    ),
    "policies": Description(
        "A version of a policy that drew samples, was published or is in a checkpoint. `lineage` has one row for each.",
        {
            "sha256": "The hash of its files, by which it is named.",
            "kind": "The kind of its model, such as `gru`.",
            "parent_sha256": "The version that it was trained from; null for the first.",
            "run_id": "The run that made it; null for one that came from elsewhere.",
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
            "iteration": "The iteration of the training that it was delivered in.",
            "created": _CREATED,
        },
    ),
    "checkpoints": Description(
        "A checkpoint of a training, from which its run is resumed.",
        {
            "run_id": _RUN,
            "iteration": "The number of iterations that it is the state after.",
            "folder": "Its folder, in `checkpoints/` of the store.",
            "snapshot": "The snapshot that the training reads its buffer at.",
            "created": _CREATED,
        },
    ),
    "placements": Description(
        "Where the arrays of a build were written to when segments were compacted or repaired.",
        {
            "build_id": _BUILD,
            "generation": "How often they had been written again; the highest counts.",
            "segment": _SEGMENT,
            "segment_offset": _OFFSET,
            "created": _CREATED,
        },
    ),
    "quarantine": Description(
        "A damaged segment, whose rows training leaves out.",
        {"segment": _SEGMENT, "reason": "What is damaged.", "created": _CREATED},
    ),
    "archives": Description(
        "An archive that was made of this store, once for each run that it was asked for; it keeps its snapshot "
        "from expiring.",
        {
            "archive_id": "The identity of the archive.",
            "snapshot": "The snapshot that it was made of.",
            "run_id": "A run whose rows it has; null where it was not limited to some.",
            "predicate": "The SQL condition of its rows; null for all.",
            "rows": "The number of its samples.",
            "created": _CREATED,
        },
    ),
    "readmitted": Description(
        "A stored row that a build gives once more, such as one of a `history` sampler.",
        {
            "build_id": "The build that gives it.",
            "position": "Its place in that build, from 0.",
            "source_build_id": "The build of the stored row.",
            "source_row": "Its row there.",
            "created": _CREATED,
        },
    ),
    "objectives": Description(
        "A component of an objective, as a run recorded it when it started. `objective_components` also knows older "
        "runs.",
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
            "position": "Its place in the order in which the memory counted, from 0.",
            "iteration": "The iteration that first drew it; -1 for a molecule of an earlier run.",
            "smiles": _SMILES,
            "bucket": "The name of its bucket, such as a scaffold.",
            "created": _CREATED,
        },
    ),
    "poses": Description(
        "The pose of a docked molecule; `scored_poses` has it with its energy.",
        {
            "smiles": _SMILES,
            "component": _COMPONENT,
            "version": _VERSION,
            "pose": "A mol block with hydrogens, in the coordinates of the receptor.",
            "run_id": "The run that docked it.",
            "created": _CREATED,
        },
    ),
}


def _of(table: str, *columns: str) -> dict[str, str]:
    """Return the texts of some columns of a table."""
    return {column: _TABLES[table].columns[column] for column in columns}


_VIEWS: Mapping[str, Description] = {
    "sample_history": Description(
        "A sample, kept or rejected, with its reward and everything it came from: the view to start with.",
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
            "reward_status": "`ok`, or why there is none: `failed`, `lost` or `pending`; null for rejected rows.",
            "objective_sha256": "The sha256 of the objective that the reward is under.",
            **_of("samples", "created", "file", "file_line", "file_id"),
            **_of("builds", "stage"),
            **_of("samples", "predicted_reward", "predicted_sd", "acquisition", "picked_by", "parents"),
        },
    ),
    "top_molecules": Description(
        "A kept molecule with a reward, once for each objective, the best first.",
        {
            "smiles": _SMILES,
            "reward": "Its largest reward under the objective.",
            "objective_sha256": _OBJECTIVE,
            "times_drawn": "How often it was drawn and kept.",
            "first_run_id": "The run that drew it first.",
            "first_build_id": "The build that drew it first.",
            "first_row": "Its row in that build.",
            "first_policy_sha256": "The policy that drew it first; null without one.",
            "first_created": "When it was first drawn, in UTC.",
        },
    ),
    "score_cache": Description(
        "The score of a molecule by a version of a component that counts: the newest good one, else the newest "
        "failed one, "
        "else the newest lost one.",
        _of("scores", "smiles", "component", "version", "value", "status", "error", "seconds", "created"),
    ),
    "current_placements": Description(
        "Where the arrays of a build are now, if they were written again since.",
        _of("placements", "build_id", "segment", "segment_offset", "generation"),
    ),
    "buckets": Description(
        "A bucket of the diversity memory of a run, the largest first.",
        {
            "run_id": _RUN,
            "bucket": "Its name, such as a scaffold.",
            "molecules": "The number of molecules in it.",
            "first_iteration": "The iteration that drew the first of them; -1 for an earlier run.",
            "last_iteration": "The iteration that drew the newest of them.",
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
            "kept_ancestor": "The nearest version, itself included, whose weights are kept; null if none is.",
            "updates_since_kept": "How many versions lie between the two; 0 where it is the version itself.",
        },
    ),
    "objective_components": Description(
        "A component of an objective: as recorded when a run started, or from the configuration of an older run.",
        {
            **_of("objectives", "objective_sha256", "position", "component"),
            "version": _VERSION + " Null where no score tells it.",
            **_of("objectives", "weight", "transform", "aggregation", "gate", "pessimism"),
        },
    ),
    "molecule_scores": Description(
        "A component of a molecule's reward under an objective: what the reward is made of.",
        {
            "smiles": _SMILES,
            "objective_sha256": _OBJECTIVE,
            "position": _POSITION,
            "component": _COMPONENT,
            "version": _VERSION,
            "raw_value": "What the component computed; null without a good score, and where its gate is closed.",
            "transformed_value": "That after the transform, in [0, 1]; where the gate is closed, what it gives "
            "instead.",
            "weight": _WEIGHT,
            "status": "`ok`; `gated` where the gate is closed; else `failed`, `lost` or `pending`.",
            "error": "Why there is no value.",
            "reward": "The reward of the molecule under the objective.",
            "reward_status": "`ok`, or why there is none.",
        },
    ),
}

DESCRIPTIONS: Mapping[str, Description] = {**_TABLES, **_VIEWS}
"""Of every table and view, by name."""
