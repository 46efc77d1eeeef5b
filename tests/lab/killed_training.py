"""Runs of a tiny policy in processes of their own, which are forked and may kill themselves at a commit.

Each run is a build and two trainings, one after the other, each with another loss, selection, augmentation and
diversity memory. ``RUNS`` has all kinds of losses, selections and buckets, and what else is kept over a resume.
"""

import importlib
import json
import os
import signal
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

import molbuffer as mb
from molbuffer.samplers.models.gru import GRUArchitecture, GRULanguageModel
from molbuffer.samplers.tokens.vocabulary import RESERVED, Vocabulary
from molbuffer.scoring.transforms import Linear
from molbuffer.storage import SampleStore
from molbuffer.storage.history.selections import SELECTIONS, AboveQuantile, BelowQuantile
from molbuffer.training import LOSSES, ValidOn

# What runs import when they need it: forks have it from the process that they are forked from.
for needed in (
    "molbuffer.exchange.loggers",
    "molbuffer.lab.recording",
    "molbuffer.lab.runs.lab_run",
    "molbuffer.lab.training",
    "molbuffer.samplers.by_scaffold",
    "molbuffer.scoring.components.descriptors",
    "molbuffer.training.adam",
    "molbuffer.training.diversity.bonus",
    "molbuffer.training.losses.critics",
):
    importlib.import_module(needed)

CHAINS = Vocabulary((*RESERVED, "C", "N", "O"))
MIXTURE = mb.Mixture([mb.MixturePart(2.0, mb.TopK(6)), mb.MixturePart(where="reward > 0.3", runs="own")])
ANNEALED = mb.Prioritized(beta=0.4, anneal=4)
LINEAR = mb.DiversitySettings(buckets="generic_scaffold", size=6, min_reward=0.1, penalty="linear")
PURGE = mb.DiversitySettings(buckets="molecule", size=2, min_reward=0.0, penalty="sigmoid", purge=True)
ALIKE = mb.DiversitySettings(buckets="similarity", size=3, min_reward=0.1, min_similarity=0.4, penalty="tanh")
RND = mb.DiversitySettings(buckets="scaffold", size=9, min_reward=0.1, penalty="erf", bonus="rnd")
SURPRISE = mb.DiversitySettings(buckets="molecule", size=4, min_reward=0.1, penalty="none", bonus="surprise")
STEP = mb.DiversitySettings(buckets="scaffold", size=8, min_reward=0.1)
GUARD = mb.GuardSettings("back", min_unique=0.99, window=1, patience=1)


@dataclass(frozen=True)
class Part:
    """A training of a run: its loss and selection, how stored rows are given, and other arguments of ``train``."""

    loss: Any
    selection: Any = "uniform"
    replay: mb.Replay = mb.Replay(updates=2)
    diversity: mb.DiversitySettings | None = None
    reminded: bool = False
    more: dict[str, Any] = field(default_factory=dict)


def other_smiles(**more: Any) -> mb.Replay:
    return mb.Replay(updates=2, randomise=True, **more)


RUNS: dict[str, tuple[Part, Part]] = {
    "policy gradients": (
        Part(LOSSES["reinforce"](baseline="moving"), replay=mb.Replay(), diversity=LINEAR),
        Part("a2c", replay=mb.Replay(), diversity=RND),
    ),
    "regressions": (
        Part("reinvent", "rank_window", other_smiles(), STEP),
        Part("augmented_hill_climb", "top_k", other_smiles(), PURGE, more={"guard": GUARD}),
    ),
    "flows": (
        Part(LOSSES["trajectory_balance"](z_learning_rate=0.5), ANNEALED, diversity=SURPRISE),
        Part("off_policy_reinvent", MIXTURE, mb.Replay(updates=3, live_in_updates=True)),
    ),
    "clipped ratios": (
        Part(LOSSES["ppo"](baseline="critic"), "recent", diversity=ALIKE),
        Part("grpo", "recent", mb.Replay(updates=2, max_policy_lag=2)),
    ),
    "weights": (
        Part("gspo", "each_molecule", diversity=PURGE),
        Part("importance_weighted", "prioritized", more={"patience": 50}),
    ),
    "cloning": (
        Part("filtered_cloning", AboveQuantile(0.4), other_smiles(), ALIKE),
        Part("advantage_weighted", BelowQuantile(0.6), diversity=RND),
    ),
    "preferences": (
        Part("dpo", "scaffold", other_smiles()),
        Part("top_share_likelihood", "consume_once", diversity=STEP),
    ),
    "reminded": (
        Part("best_agent_reminder", reminded=True, replay=mb.Replay(updates=2, live_in_updates=True)),
        Part("best_agent_reminder", "consume_once", reminded=True, diversity=SURPRISE),
    ),
}


def name_of(kind: Any, family: Any) -> str:
    if isinstance(kind, str):
        return kind
    return next(name for name, each in family.kinds.items() if each.is_own and family[name] is type(kind))


def tiny_policy() -> mb.Policy:
    torch.manual_seed(0)
    sizes = {"embedding_size": 8, "hidden_size": 16, "layers": 1, "max_length": 9}
    return mb.Policy.of(GRULanguageModel(GRUArchitecture(vocabulary_size=len(CHAINS), **sizes)).eval(), CHAINS)


def train(lab: mb.Lab, name: str, resume: str | None = None) -> dict[str, Any]:
    """Make a run, or go on with it; return its id and its last policy."""
    weight = mb.WeightedComponent(mb.Property("molecular_weight"), 1.0, Linear(20.0, 120.0))
    objective = mb.Objective([weight])
    with lab.run(name, objective=objective, policy=tiny_policy(), seed=4, resume=resume) as run:
        run.build(mb.ModelSampler("built", run.agent), n=20)
        for number, part in enumerate(RUNS[name]):
            on_policy = LOSSES[name_of(part.loss, LOSSES)].valid_on is ValidOn.ON_POLICY
            share = 1.0 if on_policy else 0.25 if part.reminded else 0.5
            samplers = [mb.ModelSampler("live", run.agent, size=mb.SamplerSize(p_batch=share))]
            if part.reminded:
                samplers.append(mb.ModelSampler("reminder", run.best, size=mb.SamplerSize(p_batch=0.25)))
            result = run.train(
                batch_size=8,
                iterations=1 + 2 * number,
                samplers=samplers,
                loss=part.loss,
                selection=part.selection,
                replay=part.replay,
                diversity=part.diversity,
                learner=mb.LearnerSettings(learning_rate=0.02),
                own_only=True,
                checkpoint_every=1,
                **part.more,
            )
    return {"run_id": run.run_id, "policy": result.policy_sha256}


class Killer:
    """Counts commits, and kills the process before or after one of them."""

    def __init__(self) -> None:
        self.commits, self.last, self.before = 0, 0, False
        self._lock, self._commit = threading.Lock(), SampleStore.commit
        SampleStore.commit = lambda store, parts: self._counted(store, parts)  # type: ignore[method-assign]

    def _counted(self, store: SampleStore, parts: Any) -> Any:
        with self._lock:
            self.commits += 1
            last = self.commits == self.last
        if last and self.before:
            os.kill(os.getpid(), signal.SIGKILL)
        receipt = self._commit(store, parts)
        if last:
            os.kill(os.getpid(), signal.SIGKILL)
        return receipt


def main() -> None:
    """Make runs in a store, or go on with them, and tell of each its id, its policy and its commits as JSON.

    The arguments are the folder of the store and, as JSON, the runs: the name of each, its id to go on with, and the
    commit before or after which it kills the process.
    """
    torch.set_num_threads(1)  # sums are rounded otherwise with another number of threads
    folder, wanted = sys.argv[1:]
    killer, told = Killer(), {}
    with SampleStore.open_or_create(Path(folder)) as store:
        for each in json.loads(wanted):
            killer.commits, killer.last, killer.before = 0, each.get("last", 0), each.get("before", False)
            found = train(mb.Lab(store), each["name"], each.get("resume"))
            told[each["name"]] = {**found, "commits": killer.commits}
    print(json.dumps(told))


SELECTED = {name_of(part.selection, SELECTIONS) for parts in RUNS.values() for part in parts}
LEARNED = {name_of(part.loss, LOSSES) for parts in RUNS.values() for part in parts}
