"""A training put together from its parts, on a real store, without Prefect."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch

from molbuffer.samplers.base import Sampler, SamplerSize
from molbuffer.samplers.builds.build import make_build
from molbuffer.samplers.builds.build_spec import BuildSpec
from molbuffer.samplers.builds.drawn_counts import DrawCounts
from molbuffer.samplers.builds.judging import Pipeline
from molbuffer.samplers.builds.seen import SeenMolecules
from molbuffer.samplers.model import ModelSampler
from molbuffer.samplers.models.condition import ConditionKind
from molbuffer.samplers.models.gru import GRUArchitecture, GRULanguageModel
from molbuffer.samplers.policies.policy import Policy, fingerprint, policy_files
from molbuffer.samplers.scores.scorer import Scorer
from molbuffer.samplers.tokens.vocabulary import RESERVED, Vocabulary
from molbuffer.scoring import ContrastiveTemplate, Filter, Objective, Standardisation, WeightedComponent
from molbuffer.scoring.components import PythonFunction
from molbuffer.storage import SampleStore
from molbuffer.storage.history.selections import Selection, Uniform
from molbuffer.storage.records import Commit, Event, Run, RunKind
from molbuffer.storage.stored import BuildReceipt
from molbuffer.training.batches.buffer import Buffer, BufferView
from molbuffer.training.batches.live_samplers import LiveSamplers
from molbuffer.training.batches.loader import BatchPlan, MixedLoader
from molbuffer.training.checkpoint import RunCheckpoints
from molbuffer.training.diversity import DiversityMemory, DiversitySettings
from molbuffer.training.fit.history_writer import HistoryWriter
from molbuffer.training.fit.learner import Learner
from molbuffer.training.fit.loop import FitProgress, commit_checkpoint, fit_policy
from molbuffer.training.fit.settings import LearnerSettings
from molbuffer.training.fit.trainables import Trainables
from molbuffer.training.losses import Loss, Reinvent

CARBON_SHARE = """
def carbon_share(smiles):
    return smiles.count("C") / len(smiles)
"""
MakeTrainables = Callable[[Sequence[Sampler]], Trainables]
MoreSamplers = Callable[["Lab", HistoryWriter], Sequence[Sampler]]
MakeSamplers = Callable[[Callable[[], Policy]], Sequence[Sampler]]


@dataclass
class Training:
    """The parts of a training. ``build_buffer`` does what a flow's build tasks do, in this process."""

    learner: Learner
    loader: MixedLoader
    writer: HistoryWriter
    seen: SeenMolecules
    samplers: Sequence[Sampler]
    pipeline: Pipeline
    store: SampleStore
    seed: int
    trainables: Trainables = Trainables()

    def build_buffer(self, iteration: int) -> list[BuildReceipt]:
        run_id = self.writer.run_id
        if self.writer.pending:
            commit_checkpoint(self.learner, self.loader, self.writer, self.trainables)
        self.writer.drain()
        version = self.learner.publish(self.store.policies, run_id, iteration)
        others = self.trainables.publish(self.store.policies, run_id, iteration)
        self.store.commit(Commit(policies=[version, *others.values()]))
        receipts: list[BuildReceipt] = []
        for order, sampler in enumerate(self.samplers):
            if sampler.size.buffer_size:
                spec = BuildSpec(
                    run_id,
                    iteration,
                    Event.BUILD_BUFFER,
                    sampler_order=order,
                    wanted=sampler.size.buffer_size,
                    campaign_seed=self.seed,
                    drawn_before=self.loader.live.drawn.of(sampler.name),
                )
                receipts += self.store.commit(Commit(builds=[make_build(sampler, spec, self.pipeline)])).builds
        self.seen.read(iteration, Event.SAMPLE_BATCH)
        return receipts

    def fit(self, checkpoint_every: int = 2, progress: Callable[[FitProgress], None] = lambda _: None) -> None:
        with self.writer:
            fit_policy(
                self.learner,
                self.loader,
                self.writer,
                trainables=self.trainables,
                checkpoint_every=checkpoint_every,
                progress=progress,
            )


@dataclass(frozen=True)
class Lab:
    """Everything a training is made of; ``start`` puts one together, or goes on with it from its last checkpoint."""

    store: SampleStore
    prior: Policy
    objective: Objective
    plan: BatchPlan = BatchPlan(batch_size=8, iterations=6, seed=5)
    buffer_size: int = 16
    p_batch: float = 0.5
    make_samplers: MakeSamplers | None = None
    more_samplers: MoreSamplers = lambda *_: ()
    make_trainables: MakeTrainables = lambda _: Trainables()
    selection: Selection = Uniform()
    filters: tuple[Filter, ...] = ()
    loss: Loss = Reinvent(10.0)
    steps: LearnerSettings = LearnerSettings(learning_rate=5e-3)
    run_id: str = "run"
    template: ContrastiveTemplate | None = None
    diversity: DiversitySettings | None = None

    def adapted(self, **changes: Any) -> "Lab":
        """With some parts, or sizes of its plan, exchanged."""
        of_plan = {name: changes.pop(name) for name in BatchPlan.__dataclass_fields__ if name in changes}
        return replace(self, plan=replace(self.plan, **of_plan), **changes)

    @property
    def training_objective_sha256(self) -> str:
        """Whose rewards are learned from, as ``molbuffer.flows.campaign.campaign.Campaign`` has it."""
        if self.template is None or self.prior.model.condition_kind is not ConditionKind.SOURCES:
            return self.objective.sha256
        return self.template.objective_sha256(self.objective)

    def samplers(self, policy: Callable[[], Policy]) -> Sequence[Sampler]:
        if self.make_samplers is not None:
            return self.make_samplers(policy)
        return [ModelSampler("agent", policy, size=SamplerSize(self.buffer_size, self.p_batch))]

    def start(self) -> Training:
        self.store.policies.add(policy_files(self.prior.model, self.prior.vocabulary))
        self._start_run(RunKind.TRAIN)
        learner = Learner(self.prior, self.loss, self.steps)
        writer = HistoryWriter(self.store, self.run_id)
        samplers = [*self.samplers(learner.policy), *self.more_samplers(self, writer)]
        seen = SeenMolecules(self.store, self.run_id)
        scorer = Scorer(self.objective, self.store, run_id=self.run_id)
        pipeline = Pipeline(
            Standardisation(),
            self.filters,
            scorer,
            expressible=self.prior.vocabulary.can_encode,
            seen=seen,
            template=self.template,
        )
        view = BufferView(
            self.training_objective_sha256, self.run_id, own_only=True, train_on_invalid=self.plan.train_on_invalid
        )
        memory = None if self.diversity is None else DiversityMemory(self.diversity)
        buffer = Buffer(self.store, view, self.selection, self.prior.vocabulary, self.plan.replay, memory)
        checkpoint = self.store.latest_checkpoint(self.run_id)
        reached = checkpoint.iteration if checkpoint is not None else 0
        drawn = DrawCounts.before(reached, self.store.receipts(self.run_id))
        live = LiveSamplers(samplers, pipeline, self.run_id, self.plan.seed, seen.add, drawn)
        if memory is not None and checkpoint is not None:
            memory.restore(self.store.bucketed_molecules(self.run_id))
        loader = MixedLoader(self.plan, buffer, live, diversity=memory)
        trainables = self.make_trainables(samplers)
        training = Training(learner, loader, writer, seen, samplers, pipeline, self.store, self.plan.seed, trainables)
        loader.build_buffer = training.build_buffer
        self._resume(training)
        return training

    def start_offline(self, view: BufferView | None = None) -> Training:
        """A training on what other runs stored."""
        self._start_run(RunKind.OFFLINE)
        learner = Learner(self.prior, self.loss, self.steps)
        buffer = Buffer(
            self.store, view or BufferView(self.training_objective_sha256), self.selection, self.prior.vocabulary
        )
        seen, writer = SeenMolecules(self.store, self.run_id), HistoryWriter(self.store, self.run_id)
        pipeline = Pipeline(
            Standardisation(), self.filters, Scorer(self.objective), expressible=lambda _: True, seen=seen
        )
        loader = MixedLoader(self.plan, buffer)
        training = Training(learner, loader, writer, seen, [], pipeline, self.store, self.plan.seed)
        self._resume(training)
        return training

    def _start_run(self, kind: RunKind) -> None:
        self.store.start_run(Run(self.run_id, "test", kind, "{}", self.plan.seed))

    def _resume(self, training: Training) -> None:
        checkpoint = self.store.latest_checkpoint(self.run_id)
        if checkpoint is not None:
            training.loader.load_state_dict(training.learner.restore(checkpoint.folder)["loader"])
            training.trainables.restore(checkpoint.folder)
            consumed = self.store.consumed(self.run_id, up_to_iteration=checkpoint.iteration)
            training.loader.buffer.restore(consumed)
            training.seen.read(checkpoint.iteration, Event.BUILD_BUFFER)
            training.writer.checkpointed = checkpoint.iteration


@pytest.fixture(scope="session")
def chains() -> Vocabulary:
    """Chains of C, N and O: every string of them but the empty one is a molecule."""
    return Vocabulary((*RESERVED, "C", "N", "O"))


@pytest.fixture
def chain_policy(chains: Vocabulary) -> Policy:
    """A tiny policy with random weights that draws chains."""
    torch.manual_seed(0)
    model = GRULanguageModel(
        GRUArchitecture(len(chains), embedding_size=16, hidden_size=32, layers=2, max_length=10)
    ).eval()
    return Policy(model, chains, fingerprint(model, chains))


@pytest.fixture
def objective(write_scorer: Callable[[str], str]) -> Objective:
    """The share of carbon among the atoms of a chain: 1 is the best there is."""
    return Objective((WeightedComponent(PythonFunction(f"{write_scorer(CARBON_SHARE)}:carbon_share")),))


@pytest.fixture
def lab(store: SampleStore, chain_policy: Policy, objective: Objective) -> Lab:
    return Lab(store, chain_policy, objective)


@pytest.fixture
def checkpoints(store: SampleStore) -> RunCheckpoints:
    """Those of a pretraining that was started and has none yet."""
    store.start_run(Run("run", "run", RunKind.PRETRAIN, "{}", 0))
    return RunCheckpoints(store, "run")
