"""What the draws and the trainings of one run share: its store, seed, prior, objective and filters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass

from molbuffer.samplers import CallsOfTraining, Elsewhere, OracleCalls, Pipeline, Policy, Scorer, Screener
from molbuffer.samplers.models import ConditionKind
from molbuffer.scoring import Choice, ContrastiveTemplate, Filter, Objective, Screening, Standardisation
from molbuffer.storage import SampleStore, ScoreStatus


@dataclass(frozen=True)
class RunContext:
    """A started run.

    Attributes:
        store: the open store.
        run_id: the id of the run.
        seed: the seed that all draws of the run follow from.
        prior: the policy that the loss keeps the trained one close to, and in whose vocabulary rows are.
        objective: gives the rewards.
        standardisation: how drawn strings become molecules.
        filters: asked in their order; the first that refuses a molecule rejects it.
        template: which pairs are kept, and their rewards; None keeps all and rewards their targets.
        max_failed_share: the largest share of molecules whose score may have failed, in [0, 1]; above it the run ends.
        agent: the policy that training starts from; None is the prior.
        max_oracle_calls: the most different molecules that the run asks its objective for; None is without end.
        stage: the number of the stage of the run that this is; None without stages.
        choice: chooses the molecules that are scored among more than are wanted; None scores all that are kept.
        screening: has a model of the known scores choose them; None has none.
        elsewhere: has expensive scores computed by others; None computes them in this process.
    """

    store: SampleStore
    run_id: str
    seed: int
    prior: Policy
    _: KW_ONLY
    objective: Objective
    standardisation: Standardisation = Standardisation()
    filters: tuple[Filter, ...] = ()
    template: ContrastiveTemplate | None = None
    max_failed_share: float = 0.5
    agent: Policy | None = None
    max_oracle_calls: int | None = None
    stage: int | None = None
    choice: Choice | None = None
    screening: Screening | None = None
    elsewhere: Elsewhere | None = None

    @property
    def start(self) -> Policy:
        """The policy that training starts from."""
        return self.agent or self.prior

    @property
    def objective_sha256(self) -> str:
        """The objective of a training: that of pairs for a conditional policy with a template."""
        if self.template is not None and self.prior.model.condition_kind is ConditionKind.SOURCES:
            return self.template.objective_sha256(self.objective)
        return self.objective.sha256

    @property
    def failed_scores(self) -> int:
        """The number of scores of this run that could not be computed; the table ``scores`` has the errors."""
        sql = "SELECT count(*) AS n FROM {scores} WHERE run_id = ? AND status = ?"
        counted: int = self.store.read_arrow(sql, parameters=[self.run_id, ScoreStatus.FAILED.value])["n"][0].as_py()
        return counted

    def calls(self, limit: int | None = None) -> CallsOfTraining:
        """Return a count of the oracle calls of the run, which has read none of them yet; None is without a budget."""
        return CallsOfTraining(limit, store=self.store, run_id=self.run_id, pairs=self.template is not None)

    def screener(self) -> Screener | None:
        """Return what screens the builds of the run, and knows none of its scores yet; None without screening."""
        if self.screening is None:
            return None
        return Screener(self.screening, self.objective, store=self.store, run_id=self.run_id, seed=self.seed)

    def pipeline(
        self,
        seen: Callable[[Sequence[str]], set[str]],
        calls: OracleCalls | None = None,
        screener: Screener | None = None,
        *,
        backlog: bool = False,
        approximate: bool = False,
    ) -> Pipeline:
        """Return what turns drawn strings into scored samples; the other arguments are those of ``Pipeline``.

        Args:
            seen: returns those of some canonical SMILES that occurred in the run before.
            calls: counts the oracle calls of the run.
            screener: chooses the molecules that are scored.
            approximate: whether other processes draw for the run at the same time.
            backlog: whether the components of the backlog score the samples later.
        """
        later = backlog and bool(self.objective.backlog)
        return Pipeline(
            standardisation=self.standardisation,
            filters=self.filters,
            scorer=Scorer(
                self.objective,
                self.store,
                self.run_id,
                computes="inline" if later else "all",
                elsewhere=self.elsewhere,
            ),
            expressible=self.prior.vocabulary.can_encode,
            seen=seen,
            template=self.template,
            vocabulary_sha256=self.prior.vocabulary.sha256,
            calls=calls,
            stage=self.stage,
            choice=self.choice,
            screener=screener,
            approximate=approximate,
        )
