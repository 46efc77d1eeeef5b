"""The context of a run, which its draws and trainings share: its store, seed, prior, objective and filters."""

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
        seed: the seed of all draws of the run.
        prior: the policy that the loss keeps the trained policy close to; rows are in its vocabulary.
        objective: the objective of the rewards.
        standardisation: how drawn strings become molecules.
        filters: the filters in their order; the first that refuses a molecule rejects it.
        template: the rule of which pairs are kept, and their rewards; None keeps all pairs and rewards their targets.
        max_failed_share: the largest share of molecules whose score may have failed, in [0, 1]; above it the run ends.
        agent: the policy that the training starts from; None is the prior.
        max_oracle_calls: the most different molecules that the run asks its objective for; None is no limit.
        stage: the number of the present stage of the run; None without stages.
        choice: the rule that chooses the molecules to score among more candidates; None scores all kept molecules.
        screening: the settings of screening, which chooses the molecules to score by a model; None does not screen.
        elsewhere: passes expensive scores to other processes; None computes them in this process.
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
        """The policy that the training starts from."""
        return self.agent or self.prior

    @property
    def objective_sha256(self) -> str:
        """The sha256 of the objective of a training; for a conditional policy with a template, that of pairs."""
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
        """Return a counter of the oracle calls of the run, which has not read any yet.

        Args:
            limit: the budget; None is no limit.
        """
        return CallsOfTraining(limit, store=self.store, run_id=self.run_id, pairs=self.template is not None)

    def screener(self) -> Screener | None:
        """Return a screener of the builds of the run, which has not read any scores yet; None without screening."""
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
        """Return the pipeline that makes scored samples of drawn strings.

        Args:
            seen: returns which of some canonical SMILES have occurred in the run before.
            calls: counts the oracle calls of the run; None has no budget.
            screener: chooses the molecules that are scored; None does not screen.
            backlog: whether the components of the backlog score the samples later.
            approximate: whether other processes draw for the run at the same time.
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
