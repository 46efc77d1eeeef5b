"""The front door for Python: it opens a store as a lab, whose runs build, train and score.

``import molbuffer as mb`` and ``mb.open("lab")`` import neither torch nor RDKit: a method imports what it needs when it
is called.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from molbuffer.lab.stored_lab import StoredLab, as_texts, check_count, prepare_torch
from molbuffer.storage import EachMolecule, RunKind, SampleStore, Selection

if TYPE_CHECKING:
    import polars

    from molbuffer.exchange import IngestReceipt, RunLogger
    from molbuffer.lab.arguments import LossFunction, RowProgress
    from molbuffer.lab.backlog import BacklogProgress
    from molbuffer.lab.offline import Judging, OfflineResult
    from molbuffer.lab.runs import LabRun
    from molbuffer.samplers import Policy
    from molbuffer.scoring import Choice, ContrastiveTemplate, Filter, Objective, Screening, Standardisation, Transform
    from molbuffer.training import FitProgress, LearnerSettings, Loss

SCORED_TOGETHER = 256
"""The number of molecules that are scored together; their scores are stored before those of the next are computed."""


def open(path: str | Path, *, read_only: bool = False) -> Lab:  # noqa: A001 (it is called as mb.open)
    """Open the store in a folder as a lab; make the store if the folder has none.

    Args:
        path: the folder of the store, or an archive, which is always open for reading only.
        read_only: open an existing store for reading only.

    Raises:
        StoreNotFoundError: ``read_only`` is true, and there is no store.
        StoreError: the store is damaged, of another release, or cannot be made at the path.

    Example:
        >>> with mb.open("another-lab") as other:
        ...     len(other.runs())
        0
    """
    return Lab(SampleStore.open(path, read_only=True) if read_only else SampleStore.open_or_create(path))


class Lab(StoredLab):
    """An open store with methods to run, score, import and read from Python.

    Close it after use, or use it as a context.

    Attributes:
        store: the store, for operations without a method of the lab.

    Example:
        >>> with lab.run("example", objective=mb.Objective([mb.QED()]), seed=0) as run:
        ...     receipts = run.build(mb.ModelSampler("agent", run.agent), n=8)
        ...     result = run.train(batch_size=8, iterations=2, samplers={"agent": 0.5})
        >>> lab.query("SELECT count(*) AS n FROM runs WHERE run_id = ?", [result.run_id]).item()
        1
    """

    @contextmanager
    def run(
        self,
        name: str,
        *,
        objective: Objective,
        policy: Policy | str = "zinc-gru",
        agent: Policy | str | None = None,
        device: str = "cpu",
        seed: int | None = None,
        filters: Sequence[Filter] = (),
        standardisation: Standardisation | None = None,
        template: ContrastiveTemplate | None = None,
        max_failed_share: float = 0.5,
        choose: Choice | str | None = None,
        screening: Screening | None = None,
        loggers: Sequence[RunLogger] = (),
        resume: str | None = None,
    ) -> Iterator[LabRun]:
        """Record a run around a ``with`` block: finished at its end, failed after an error, interrupted by Ctrl-C.

        Args:
            name: the name of the run, for people.
            objective: the objective of the rewards.
            policy: the policy that the loss keeps the trained policy close to: an object, or its name as in the method
                ``policy``.
            agent: the policy that the training starts from, such as "run:RUN_ID" for the policy that an earlier run has
                trained; None is ``policy``.
            device: the device of policies that are given by name, on which the run draws and learns: "auto", "cpu",
                "cuda", "cuda:0" or "mps".
            seed: the seed of all draws; None derives it from the id of the run.
            filters: the filters in their order. A filter ``Valence`` comes first unless one is given.
            standardisation: how drawn strings become molecules; None is the default of a campaign.
            template: the rule of which pairs are kept, and their rewards; None keeps all pairs.
            max_failed_share: the largest share of molecules whose score may have failed, in [0, 1]; above it the run
                fails.
            choose: the rule that chooses the molecules to score among more candidates, in builds and trainings:
                "maxmin", "dpp", or an object such as ``MaxMin(candidates=8)``. None scores all that pass the filters.
            screening: the settings of screening, which chooses the molecules to score by a model instead; None does not
                screen.
            loggers: the loggers that show metrics and the best molecules during the run, such as
                ``TensorBoard("runs")``.
            resume: the id, or its start, of a run to go on with, which was interrupted, failed or is finished.

        Raises:
            RunConflictError: the run to go on with began with another name, objective, policy, seed, choice,
                screening or other filters, or the source of a class of the user has changed.
            UnknownRunError: there is no run to go on with.
            StaleScoresError: a component computes other scores now than the stored ones.
        """
        prepare_torch()
        from molbuffer.exchange import RunLogs
        from molbuffer.lab.arguments import as_choice
        from molbuffer.lab.recording import RunPlan, started_run
        from molbuffer.lab.runs import LabRun
        from molbuffer.lab.score_failures import log_warning

        plan = RunPlan(
            name,
            RunKind.TRAIN,
            objective,
            policy=policy,
            agent=agent,
            device=device,
            seed=seed,
            filters=filters,
            standardisation=standardisation,
            template=template,
            max_failed_share=max_failed_share,
            choice=as_choice(choose),
            screening=screening,
            resume=resume,
        )
        with RunLogs(self.store, loggers, log_warning) as logs, started_run(plan, self.store) as (context, status):
            logs.follow(context.run_id)
            run = LabRun(context, status)
            try:
                yield run
            finally:
                run.close()

    def offline(
        self,
        name: str,
        *,
        objective: Objective,
        steps: int,
        batch_size: int = 64,
        policy: Policy | str = "zinc-gru",
        agent: Policy | str | None = None,
        device: str = "cpu",
        seed: int | None = None,
        selection: Selection | str = EachMolecule(),
        randomise: bool = False,
        where: str | None = None,
        sources: str | Path | Sequence[str | Path] = (),
        snapshot: int | None = None,
        loss: Loss | LossFunction | str = "advantage_weighted",
        cloning_weight: float = 0.0,
        kl_weight: float = 0.0,
        learner: LearnerSettings | None = None,
        checkpoint_every: int = 100,
        judging: Judging | None = None,
        filters: Sequence[Filter] = (),
        loggers: Sequence[RunLogger] = (),
        resume: str | None = None,
        progress: Callable[[FitProgress], None] = lambda _: None,
    ) -> OfflineResult:
        """Train a policy on stored rows alone, as a run of its own; draw and score only what ``judging`` asks for.

        Args:
            name: the name of the run, for people.
            objective: the objective whose rewards count.
            steps: the number of steps of the run; a resumed run is extended by a larger number.
            batch_size: the number of rows of a batch.
            policy: the policy that the loss keeps the trained policy close to, as in ``run``.
            agent: the policy that the training starts from, as in ``run``.
            device: the device of policies that are given by name, as in ``run``.
            seed: the seed of the choice of rows; None derives it from the id of the run.
            selection: the rule that chooses the rows of a batch, or the name of a kind, with its defaults.
            randomise: replace the SMILES of each row by a random one of the same molecule, whose behaviour
                log-probabilities are unknown.
            where: an SQL condition on ``sample_history``; None is all rows.
            sources: the paths of archives and stores to read the rows from, in their order; empty is this store alone.
            snapshot: the snapshot to read; None is the present one.
            loss: the loss, as in ``LabRun.train``.
            cloning_weight: the weight of the negative log-likelihood of the rows that is added to the loss.
            kl_weight: the weight of the divergence from the prior that is added to the loss.
            learner: the settings of the learner, as in ``LabRun.train``.
            checkpoint_every: the number of steps between checkpoints.
            judging: the held-out rows, the relabelling, and the evaluation by fresh draws; None is none of them.
            filters: the filters of fresh draws, as in ``run``.
            loggers: the loggers, as in ``run``.
            resume: the id, or its start, of a run to go on with.
            progress: called after each step.

        Returns:
            The run, its policy, and a report that compares the policy with its data.

        Raises:
            BatchShortError: too few rows have a reward under the objective.
            RunConflictError: the run to go on with began with other settings, or has done more steps.
            ValidationError: the rows cannot be split into a training part and a held-out part.
        """
        prepare_torch()
        from molbuffer.lab.arguments import as_selection, check_learner
        from molbuffer.lab.offline import Judging, OfflinePlan, run_offline
        from molbuffer.lab.recording import RunPlan
        from molbuffer.training import LearnerSettings

        for what, value in {"steps": steps, "batch_size": batch_size, "checkpoint_every": checkpoint_every}.items():
            check_count(what, value)
        check_learner(learner or LearnerSettings())
        run = RunPlan(
            name,
            RunKind.OFFLINE,
            objective,
            policy=policy,
            agent=agent,
            device=device,
            seed=seed,
            filters=filters,
            resume=resume,
        )
        plan = OfflinePlan(
            steps,
            batch_size,
            selection=as_selection(selection),
            randomise=randomise,
            where=where,
            sources=[sources] if isinstance(sources, str | Path) else sources,
            snapshot=snapshot,
            loss=loss,
            cloning_weight=cloning_weight,
            kl_weight=kl_weight,
            learner=learner or LearnerSettings(),
            checkpoint_every=checkpoint_every,
            judging=judging or Judging(),
        )
        return run_offline(self.store, run, plan, progress, loggers)

    def score(
        self,
        smiles: Sequence[str],
        objective: Objective,
        *,
        filters: Sequence[Filter] = (),
        standardisation: Standardisation | None = None,
        progress: RowProgress = lambda done, total: None,
    ) -> polars.DataFrame:
        """Score molecules under an objective, as a run; stored scores are read, and computed ones are stored.

        A lab that is open for reading only computes every score, and stores none.

        Args:
            smiles: the strings [n].
            objective: the objective.
            filters: filters to report in the result; molecules that a filter rejects are scored as well.
            standardisation: how strings become molecules; None is the default of a campaign.
            progress: called with the number of molecules done and the number of all, after each portion.

        Returns:
            A row for each string, in order: ``smiles``, ``molecule`` (canonical), ``rejected_by``, ``reward``, for each
            component ``raw_NAME`` and ``transformed_NAME``, and ``error``, the reason why a reward is null.
        """
        from molbuffer.lab.molecules import score_in_portions
        from molbuffer.lab.recording import RunPlan, scoring_run

        texts = as_texts(smiles)
        plan = RunPlan("score", RunKind.SCORE, objective, filters=filters, standardisation=standardisation, seed=0)
        with scoring_run(plan, self.store, uuid.uuid4().hex) as scorer:
            return score_in_portions(
                scorer=scorer,
                smiles=texts,
                filters=plan.all_filters(),
                standardisation=plan.full_standardisation(),
                portion=SCORED_TOGETHER,
                progress=progress,
            )

    def ingest(
        self,
        file: str | Path,
        name: str,
        *,
        form: str = "csv",
        column: str | None = None,
        reward: str | None = None,
        transform: Transform | None = None,
        policy: Policy | str = "zinc-gru",
        progress: Callable[[int], None] = lambda done: None,
    ) -> IngestReceipt:
        """Import scores of another program, or measured values, as a run whose rows can be trained on offline.

        The scores are those of the component ``Imported(name)``. A file that is imported again adds nothing.

        Args:
            file: the table: .csv, .tsv (each also .gz) or .parquet.
            name: the name of the scores.
            form: the format: "csv", a table of an assay; "reinvent", the CSV file of a staged learning of REINVENT;
                "molscore", the file scores.csv of MolScore.
            column: the column of the molecules; None is ``smiles`` or ``canonical_smiles``, in any case.
            reward: the column of the scores; None is the default of the format.
            transform: the transform of the scores to rewards; None takes them as rewards in [0, 1].
            policy: the policy that is to learn from the molecules, which are stored in its vocabulary.
            progress: called with the number of rows done.

        Returns:
            The run, and the numbers of its rows that can be trained on and that were rejected.

        Raises:
            SmilesFileError: the file cannot be read, has no row, or lacks the column of the molecules.
            IngestError: the file lacks another column, or its values are not rewards.
        """
        prepare_torch()
        from molbuffer.exchange import IngestPlan, ingest_file
        from molbuffer.lab.provenance import described_import
        from molbuffer.scoring import Identity

        plan = IngestPlan(
            form=form,
            name=name,
            policy=self._policy(policy),
            column=column,
            reward=reward,
            transform=transform or Identity(),
        )
        return ingest_file(self.store, Path(file), plan, described_import, progress)

    def score_pending(
        self,
        objectives: Objective | Sequence[Objective],
        *,
        template: ContrastiveTemplate | None = None,
        run: str | None = None,
        watch: bool = False,
        batch: int = 256,
        progress: Callable[[BacklogProgress], None] = lambda done: None,
    ) -> BacklogProgress:
        """Score the rows of the backlog, and complete their rewards.

        Any number of processes and hosts may do so at once: they share the work, and no molecule is scored twice.
        `molbuffer score-pending` does the same for runs of a configuration, whose objectives it finds itself.

        Args:
            objectives: the objectives of the rows to score; rows under other objectives are left.
            template: the rule for the rewards of pairs; None for rows that are not pairs.
            run: the id, or its start, of the only run whose rows are scored; None is all runs.
            watch: go on when no row is left, until Ctrl-C.
            batch: the most rows of a round.
            progress: called with the progress after each round.

        Returns:
            The numbers of scores that were computed and lost, and of rewards that were completed.

        Raises:
            BacklogError: rows are pending, but none under these objectives; or all scores were lost several times in a
                row.
            StaleScoresError: a component computes other scores now than the stored ones.
        """
        from molbuffer.lab.backlog import BacklogScorer, find_among
        from molbuffer.lab.recording import check_objective
        from molbuffer.samplers import Backlog, check_stored_scores

        check_count("batch", batch)
        backlogs = dict[str, Backlog]()
        for objective in objectives if isinstance(objectives, Sequence) else [objectives]:
            check_objective(objective)
            check_stored_scores(objective, self.store)
            backlog = Backlog(objective, self.store, template)
            backlogs |= dict.fromkeys(backlog.objectives, backlog)
        run_id = None if run is None else self.store.run(run).run_id
        scorer = BacklogScorer(
            self.store, find_among(backlogs), run_id=run_id, watch=watch, batch=batch, progress=progress
        )
        return scorer.run()
