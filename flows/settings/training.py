"""The ``[buffer]``, ``[training]`` and ``[offline]`` tables: the stored rows that training uses, and its settings."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Annotated, Any, Literal, Self

from annotated_types import Ge, Gt
from pydantic import Field, model_validator

from molbuffer.flows.settings.base import Section
from molbuffer.kinds import Condition, Count, KindTable, OneOf, Text, refuse
from molbuffer.lab import Criterion, EvaluationPlan, Judging, Relabel, SplitBy, ValidationPlan
from molbuffer.samplers import CHUNK_ROWS
from molbuffer.storage import SELECTIONS, Selection
from molbuffer.training import LOSSES, AutoPrecision, LearnerSettings, Loss, Replay, Waiting, conservative

Positive = Annotated[float, Gt(0)]
NotNegative = Annotated[float, Ge(0)]

SELECTION = OneOf(SELECTIONS, bare=True)
LOSS = OneOf(LOSSES, bare=True)


class BufferSettings(Section):
    """The stored rows that fill the part of a batch that is not drawn live."""

    selection: Annotated[KindTable, SELECTION] = Field(default_factory=SELECTION.default("consume_once"))
    """consume_once: each row once, at random; uniform: every row with the same probability; each_molecule: every
    molecule with the same probability; top_k: the best molecules; rank_window and prioritized: better rows more often;
    recent: the run's own rows of the last iterations; mixture: several selections, each with a share."""

    build_every: Count = 10
    """The number of iterations between builds; a build also takes place when the buffer cannot fill the next batch."""

    chunk_rows: Count = CHUNK_ROWS
    """The number of kept rows of a chunk of a build. One worker (`[runner]`) makes a chunk, from a seed of the chunk's
    own: with another number, a build draws other molecules."""

    runs: Literal["all", "own"] = "all"
    """all: also rows that earlier runs stored under the same objective, as of the start of this run; own: only rows of
    this run."""

    pending_timeout: Positive = Waiting.timeout_seconds
    """For an objective with a backlog: the seconds that a training which is short of rows waits without any new score
    or claim. After that it builds once more, and then ends with an error; it can be resumed."""

    max_policy_lag: Annotated[int, Ge(0)] | None = None
    """The largest policy lag of a row, in iterations; older rows, and those of other runs, are left out. Default: no
    bound."""

    update_size: Count | None = None
    """The number of rows of each update of an iteration after the first (`updates` of the training table); default: the
    batch size, less the live rows with `live_in_updates`."""

    randomise: bool = False
    """true: each row comes as a new random SMILES of its molecule, which has no behaviour log-probability."""


class LossKeys(Section):
    """The keys of a loss that a table may have next to the loss."""

    sigma: Positive | None = None
    """The sigma of the loss, for a loss that has one; it replaces that of the loss's own table."""

    def with_sigma(self, loss: Loss) -> Loss:
        """Return a loss with the sigma of this table.

        Raises:
            ValidationError: the loss has no sigma.
        """
        if self.sigma is None:
            return loss
        made: Any = loss
        if not any(field.name == "sigma" for field in fields(made)):
            refuse("training", [(("sigma",), f"the loss {type(loss).__name__} has no sigma; remove the key")])
        changed: Loss = replace(made, sigma=self.sigma)
        return changed


class TrainingSettings(LossKeys):
    """The training of the policy."""

    mode: Literal["sync", "async"] = "sync"
    """sync: the process that learns also fills the buffer; async: actors fill it, in processes of their own."""

    loss: Annotated[KindTable, LOSS] = Field(default_factory=LOSS.default("reinvent"))
    """reinvent: the squared difference between the policy's log-likelihood and the prior's plus sigma x reward."""

    learning_rate: Positive = LearnerSettings.learning_rate
    """The learning rate of Adam."""

    kl_weight: NotNegative = 0.0
    """The weight of the divergence of the policy from the prior, on the rows, that is added to the loss."""

    gradient_norm: Positive = LearnerSettings.gradient_norm
    """The largest norm of a step's gradient; longer gradients are scaled down to it."""

    precision: AutoPrecision = LearnerSettings.precision
    """The precision of the matrix products of a GRU. float32: all in float32; mixed: those of the gradient in bfloat16;
    bfloat16: those of the likelihoods and of live draws, too. On a processor with bfloat16, such a product takes about
    half the time. auto: mixed on such a processor, float32 on others. Weights, states, logits and losses are always in
    float32."""

    updates: Count = 1
    """The number of updates (gradient steps) in an iteration. The first is on the batch; each further one is on a draw
    of its own from the buffer, which then also has the live molecules of the batch."""

    live_in_updates: bool = False
    """true: the live molecules of the batch take part in each further update as well."""

    train_on_invalid: bool = False
    """Train also on drawn strings that are no molecules, with reward 0."""

    checkpoint_every: Count = 10
    """The number of iterations between checkpoints; offline, ten times as many. Live molecules are stored together
    with the checkpoint, so that after a crash at most this many iterations are drawn again, with the same result.
    Actors draw with the policy of the newest checkpoint."""

    @property
    def built_loss(self) -> Loss:
        """The loss of online training."""
        return conservative(self.with_sigma(self.loss.build()), kl_weight=self.kl_weight)

    @property
    def learner(self) -> LearnerSettings:
        """The settings of the learner in online training."""
        return LearnerSettings(self.learning_rate, self.gradient_norm, self.precision)

    def replay(self, buffer: BufferSettings) -> Replay:
        """Return the settings of the updates of an iteration, and of the rows that they take from the buffer."""
        return Replay(
            updates=self.updates,
            update_size=buffer.update_size,
            live_in_updates=self.live_in_updates,
            randomise=buffer.randomise,
            max_policy_lag=buffer.max_policy_lag,
        )

    @model_validator(mode="after")
    def _has_a_loss(self) -> Self:
        _ = self.built_loss
        return self


class EvaluationSettings(Section):
    """The evaluation of the policy of an offline training by fresh draws."""

    draws: Annotated[int, Field(ge=0)] = 0
    """The number of molecules that are drawn from the policy; 0 draws none."""

    every: Annotated[int, Field(ge=0)] = 0
    """The number of steps between evaluations; 0 evaluates at the end only."""

    max_oracle_calls: Count | None = None
    """The largest number of different molecules that the evaluations of the run score, including those with stored
    scores; `draws` of them are kept for the evaluation at the end. Default: no limit."""

    expensive: bool = False
    """Compute components with cost = "high" as well; otherwise draws have no reward under an objective with such a
    component."""

    min_effective_sample_size: Positive = EvaluationPlan.least_sample_size
    """The least effective sample size of the held-out rows for an off-policy estimate of the mean reward; below it, no
    estimate is made."""

    @property
    def plan(self) -> EvaluationPlan:
        """The plan of the evaluations."""
        return EvaluationPlan(
            self.draws,
            every=self.every,
            max_oracle_calls=self.max_oracle_calls,
            expensive=self.expensive,
            least_sample_size=self.min_effective_sample_size,
        )


class OfflineSettings(LossKeys):
    """Training on stored rows alone, by ``molbuffer offline`` or with ``campaign.offline``."""

    selection: Annotated[KindTable, SELECTION] = Field(default_factory=SELECTION.default("each_molecule"))
    """The selection of stored rows, as in the buffer table."""

    steps: Count = 500
    """The number of training steps."""

    batch_size: Count | None = None
    """The number of rows of a batch; default: that of the campaign."""

    where: Annotated[Text | None, Condition()] = None
    """An SQL condition on sample_history that the rows must fulfil, such as "reward > 0.5"; default: every row with
    a reward."""

    randomise: bool = False
    """true: each row comes as a new random SMILES of its molecule, as in the buffer table."""

    loss: Annotated[KindTable, LOSS] | None = Field(default_factory=LOSS.default("advantage_weighted"))
    """The loss of offline training, with its own keys, in place of the loss of the training table."""

    learning_rate: Positive | None = None
    """The learning rate; default: that of the training table."""

    cloning_weight: NotNegative = 0.0
    """The weight of the negative log-likelihood of the rows that is added to the loss: behaviour cloning."""

    kl_weight: NotNegative = 0.0
    """The weight of the divergence of the policy from the prior, on the rows, that is added to the loss."""

    relabel: Relabel = "off"
    """The use of stored rows without a reward under the objective. off: they are left out; cheap: their molecules are
    scored first, except by components with cost = "high", of which only stored scores count; all: they are scored first
    by all components."""

    validation: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """The share of held-out rows. The policy that is best on the held-out rows is the result."""

    split: SplitBy = "scaffold"
    """The unit that is held out as a whole. scaffold: all molecules of a scaffold; run: all rows of a run; random: all
    rows of a molecule."""

    validate_every: Count = 50
    """The number of steps between validations."""

    patience: Annotated[int, Field(ge=0)] = 0
    """The number of validations without improvement after which the training ends; 0: it never ends early."""

    criterion: Criterion = "loss"
    """The criterion of the best policy. loss: the loss of the held-out rows; best_likelihood: the likelihood of the
    best tenth of them."""

    evaluation: EvaluationSettings = Field(default_factory=EvaluationSettings)
    """The evaluation of the policy by fresh draws."""

    def built_loss(self, online: TrainingSettings) -> Loss:
        """Return the loss of offline training with conservative terms.

        A run of an earlier release, without a loss in this table, uses that of online training.
        """
        own = self.with_sigma(online.built_loss if self.loss is None else self.loss.build())
        return conservative(own, self.cloning_weight, self.kl_weight)

    @property
    def judging(self) -> Judging:
        """The settings by which rows and policy are judged: validation, evaluation and relabelling."""
        validation = ValidationPlan(
            self.validation,
            split=self.split,
            every=self.validate_every,
            patience=self.patience,
            criterion=self.criterion,
        )
        return Judging(validation, self.evaluation.plan, self.relabel)

    @model_validator(mode="after")
    def _takes_the_sigma(self) -> Self:
        if self.loss is not None:
            self.with_sigma(self.loss.build())
        return self

    def learner(self, online: TrainingSettings) -> LearnerSettings:
        """Return the settings of the learner offline: those of online training, except for the keys of this table."""
        return LearnerSettings(self.learning_rate or online.learning_rate, online.gradient_norm, online.precision)


def selection_of(table: KindTable) -> Selection:
    """Return the selection that a table describes."""
    built: Selection = table.build()
    return built
