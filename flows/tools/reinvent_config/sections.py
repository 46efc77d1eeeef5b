"""Convert the tables of a staged learning except its scoring: policies, learning strategy, memory, stages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from molbuffer.flows.tools.reinvent_config.reading import Table
from molbuffer.flows.tools.reinvent_config.transforms import plain_name

STAND_IN = "zinc-gru"
"""The policy that replaces a missing one."""

_BUCKETS = {
    "identicalmurckoscaffold": "scaffold",
    "identicaltopologicalscaffold": "generic_scaffold",
    "scaffoldsimilarity": "similarity",
    "penalizesamesmiles": "molecule",
}
_LOG = "the store has what a run did: `molbuffer query`, `molbuffer top`"


def policy_of(table: Table, key: str, folder: Path) -> str:
    """Return the policy for a key that names a model file: the sha256 that the imported file has in a store.

    A missing or unreadable file is a difference, and ``STAND_IN`` replaces it.
    """
    name = table.text(key)
    if not name:
        table.wrong(key, "the key is missing; expected the file of a model")
        return STAND_IN
    file = folder / name
    if not file.is_file():
        advice = "`molbuffer import-prior FILE --store DIR` prints the sha256 to put in its place"
        table.differs(key, f"there is no file {file}; {STAND_IN} stands in for it; once you have the file, {advice}")
        return STAND_IN
    # The import is here since it loads torch, which only a configuration with an existing prior needs.
    from molbuffer.samplers import SamplerError, fingerprint, read_reinvent_prior

    try:
        prior = read_reinvent_prior(file)
    except SamplerError as error:
        table.differs(key, f"{STAND_IN} stands in for it: {error}")
        return STAND_IN
    sha256 = fingerprint(prior.model, prior.vocabulary)
    table.differs(key, f"{file.name} is the policy {sha256[:12]}: `molbuffer import-prior {file} --store DIR` first")
    return sha256


def say_parameters(table: Table, *, several_stages: bool) -> None:
    """Remark on the keys of [parameters] that have no counterpart."""
    table.differs("summary_csv_prefix", f"no summary is written; {_LOG}")
    if table.flag("use_checkpoint", False):
        table.differs("use_checkpoint", '`runs = "all"` of [diversity] counts the molecules of other runs')
    if several_stages and table.flag("purge_memories", True):
        table.differs(
            "purge_memories" if "purge_memories" in table else None,
            "the diversity memory is not emptied between stages, as REINVENT does unless purge_memories is false",
        )
    table.flag("purge_memories", True)
    table.flag("use_checkpoint", False)
    table.flag("unique_sequences", True)
    table.flag("randomize_smiles", True)
    if table.flag("tb_isim", False):
        table.differs("tb_isim", "the metric internal_diversity corresponds to it")
    # These keys belong to other generators, which read a file of molecules and are refused.
    table.text("sample_strategy")
    table.count("distance_threshold", 0, least=0)


def training_of(table: Table | None) -> dict[str, Any]:
    """Return the table [training] of a learning strategy."""
    training: dict[str, Any] = {"loss": "reinvent", "sigma": 128.0, "learning_rate": 1e-4, "train_on_invalid": True}
    if table is None:
        return training
    kind = plain_name(table.text("type", "dap"))
    if kind != "dap":
        table.differs("type", f"{kind} has no counterpart; the loss is reinvent, which is dap")
    training["sigma"] = table.number("sigma", 128.0)
    training["learning_rate"] = table.number("rate", 1e-4)
    table.say_unknown()
    return training


def diversity_of(table: Table) -> dict[str, Any] | None:
    """Return the table [diversity] of a diversity filter; None if there is no counterpart."""
    kind = plain_name(table.text("type"))
    size, least = table.count("bucket_size", 25), table.number("minscore", 0.4)
    similarity, multiplier = table.number("minsimilarity", 0.4), table.number("penalty_multiplier", 0.5)
    table.say_unknown()
    if kind not in _BUCKETS:
        table.differs("type", f"expected one of {', '.join(_BUCKETS)}; the campaign has no diversity memory")
        return None
    if kind == "penalizesamesmiles":
        if multiplier:
            table.differs(
                "penalty_multiplier", f"a molecule that is drawn again has a reward of 0, not {multiplier:g} of it"
            )
        return {"buckets": "molecule", "size": 1, "min_reward": 0.0, "penalty": "step"}
    found: dict[str, Any] = {"buckets": _BUCKETS[kind], "size": size, "min_reward": least, "penalty": "step"}
    if kind == "scaffoldsimilarity":
        table.differs(
            "minsimilarity" if "minsimilarity" in table else None,
            "the similarity here is that of molecules, by Morgan counts, and not of scaffolds by atom pairs",
        )
        found["min_similarity"] = similarity
    table.differs(
        None, "REINVENT also gives 0 to a molecule that it has scored before; here it counts as any other of its bucket"
    )
    return found


def penalty_of(table: Table) -> dict[str, Any] | None:
    """Return the table [diversity] of an intrinsic penalty; None if there is no counterpart."""
    kind, function = plain_name(table.text("type")), plain_name(table.text("penalty_function"))
    size, least = table.count("bucket_size", 25), table.number("minscore", 0.4)
    table.differs("learning_rate", "the network of the bonus has a learning rate of its own")
    table.say_unknown()
    if not kind.startswith("identicalmurckoscaffold") or function not in ("step", "linear", "sigmoid", "tanh", "erf"):
        table.differs("type", f"{kind} with {function or 'no penalty_function'} has no counterpart; it is left out")
        return None
    bonus = {"bonus": "rnd"} if kind.endswith("rnd") else {}
    return {"buckets": "scaffold", "size": size, "min_reward": least, "penalty": function, **bonus}


def replay_of(table: Table, batch_size: int, iterations: int) -> tuple[int, dict[str, Any], dict[str, Any]]:
    """Convert an inception: return the batch size, the table [buffer], and the keys of the live sampler.

    A batch then has the rows of REINVENT's batch and, in addition, rows of the best molecules of the run.
    """
    kept, drawn = table.count("memory_size", 50), table.count("sample_size", 10)
    table.flag("deduplicate", True)
    table.differs(
        "smiles_file",
        'the memory starts empty; a sampler of kind "dataset" gives molecules of a file',
    )
    table.say_unknown()
    whole = batch_size + drawn
    buffer = {"selection": {"kind": "top_k", "k": kept}, "build_every": iterations, "runs": "own"}
    live = {"buffer_size": max(drawn, batch_size), "p_batch": batch_size / whole}
    return whole, buffer, live


def stage_end_of(table: Table) -> dict[str, Any]:
    """Return the keys for the end of a stage."""
    end: dict[str, Any] = {"iterations": table.count("max_steps", 100)}
    if "max_steps" not in table:
        table.wrong("max_steps", "the key is missing")
    kind = plain_name(table.text("termination", "simple"))
    score, steps = table.number("max_score", 1.0), table.count("min_steps", 50, least=0)
    if kind == "simple" and score < 1:
        end |= {"mean_reward": score, "window": 1}
        if steps:
            table.differs(
                "min_steps" if "min_steps" in table else None,
                f"a stage has no minimum length, and may reach {score:g} before {steps} steps; a larger `window` makes "
                f"it last longer",
            )
    elif kind not in ("simple", "null"):
        table.differs("termination", f"{kind} has no counterpart; the stage ends after max_steps")
    table.differs(
        "chkpt_file", "checkpoints are in the store; `--resume RUN_ID` goes on, `run:RUN_ID` names the policy"
    )
    return end
