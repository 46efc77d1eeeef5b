"""Show a run on Prefect's page: log lines while the run goes on, and tables and pictures that stay there.

An error while showing does not end the run: it becomes a warning in the log of the run, once for each kind of content.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from molbuffer.flows.artifacts import tables
from molbuffer.flows.campaign import Campaign, inform, warn
from molbuffer.flows.tasks import MakeChunk, Maker, MakesAhead
from molbuffer.storage import BuildReceipt, SampleStore
from molbuffer.training import FitProgress

if TYPE_CHECKING:
    from molbuffer.pages import Scope

BEST = 10
"""The number of molecules with a picture."""
MOST_TEXT_BYTES = 400_000
"""The most bytes of an artifact; a table of molecules that would be larger is published without pictures."""
SECONDS_BETWEEN_STEPS = 15.0
"""The least time between two states of the progress, and between two lines on iterations."""
SECONDS_BETWEEN_TABLES = 300.0
"""The least time between two states of the tables and pictures, which take about a second."""
_NOT_IN_A_KEY = re.compile(r"[^a-z0-9]+")


class ShownRun:
    """A run and the artifacts that its page shows."""

    def __init__(self, store: str, run_id: str, campaign: str, clock: Callable[[], float] = time.monotonic) -> None:
        """Show a run.

        Args:
            store: the folder of the store.
            run_id: the run.
            campaign: the name of its campaign.
            clock: returns the time in seconds.
        """
        self.store, self.run_id, self.campaign = store, run_id, campaign
        self._clock = clock
        self._stepped = self._published = clock()
        self._progress: UUID | None = None
        self._done = self._whole = 0
        self._failed: set[str] = set()
        self._best = ""
        self._told: set[str] = set()

    def maker(self, maker: Maker, *, whole_run: bool = False) -> Maker:
        """Return a maker of chunks that reports each chunk once it is made.

        Args:
            maker: makes the chunks.
            whole_run: whether the run does nothing but make these chunks, so that they are its progress.
        """

        def of_campaign(campaign: Campaign) -> MakeChunk:
            wanted = sum(each.size.buffer_size_at(0) for each in campaign.settings.samplers)
            make, kept = maker(campaign), 0

            def tell(receipt: BuildReceipt) -> None:
                nonlocal kept
                kept += receipt.kept
                self.built(receipt)
                if whole_run:
                    self._done, self._whole = min(kept, wanted), wanted
                    self._safely("progress", self._show_progress)

            return _Told(make, tell)

        return of_campaign

    def built(self, receipt: BuildReceipt) -> None:
        """Report a committed chunk of a build."""
        reward = "no reward" if receipt.mean_reward is None else f"mean reward {receipt.mean_reward:.3f}"
        inform(
            f"iteration {receipt.iteration}, {receipt.sampler}: drew {receipt.drawn}, kept {receipt.kept}, {reward}"
            f"{', which an earlier attempt had stored' if receipt.repeated else ''}"
        )
        self._publish_in_time()

    def stepped(self, progress: FitProgress) -> None:
        """Report an iteration of a training, at most once in ``SECONDS_BETWEEN_STEPS``."""
        now, self._done, self._whole = self._clock(), progress.iteration, progress.iterations
        if now - self._stepped < SECONDS_BETWEEN_STEPS:
            return
        self._stepped = now
        told = {name: progress.metrics.get(name) for name in ("loss", "reward_live", "reward_buffer")}
        values = ", ".join(f"{name} {value:.3g}" for name, value in told.items() if value is not None)
        inform(f"iteration {progress.iteration} of {progress.iterations}: {values or 'nothing to learn from'}")
        self._safely("progress", self._show_progress)
        self._publish_in_time()

    def publish(self) -> None:
        """Write the present state of the run to its log and its page."""
        self._published = self._clock()
        if self._whole:
            self._safely("progress", self._show_progress)
        self._safely("tables", self._show_facts)

    def _publish_in_time(self) -> None:
        if self._clock() - self._published >= SECONDS_BETWEEN_TABLES:
            self.publish()

    def _show_progress(self) -> None:
        from prefect.artifacts import create_progress_artifact, update_progress_artifact

        share = 100.0 * self._done / max(self._whole, 1)
        if self._progress is None:
            text = f"{self.campaign}: run {self.run_id[:8]}"
            made = create_progress_artifact(share, key=self._key("progress"), description=text)
            assert isinstance(made, UUID)
            self._progress = made
        else:
            update_progress_artifact(self._progress, share)

    def _show_facts(self) -> None:
        from molbuffer.pages import best_molecules, funnel, list_run_facts, sampler_totals, scope_of

        with SampleStore.open(Path(self.store), read_only=True) as store:
            scope = scope_of(store, [self.run_id])
            objective = store.run(self.run_id).objective_sha256
            became = funnel(scope)
            (run,) = list_run_facts(scope)
            self._tell(tables.steps_line(run) if run.kind == "offline" else tables.funnel_line(became))
            if became.drawn:
                self._table("funnel", tables.funnel_table(became), "What became of the rows that were drawn")
                self._table("samplers", tables.samplers_table(sampler_totals(scope)), "What each sampler drew")
                self._table("builds", tables.builds_table(store.receipts(self.run_id)), _BUILDS)
            if became.rewarded and objective is not None:
                best = best_molecules(scope, objective, BEST)
                self._tell(tables.best_line(best))
                self._safely("molecules", lambda: self._show_molecules(best))
            self._safely("curve", lambda: self._show_curve(scope, objective))

    def _tell(self, line: str) -> None:
        """Write a line to the log unless it is there already: the end of most runs repeats their last state."""
        if line not in self._told:
            self._told.add(line)
            inform(line)

    def _table(self, name: str, rows: list[dict[str, Any]], text: str) -> None:
        from prefect.artifacts import create_table_artifact

        create_table_artifact(rows, key=self._key(name), description=f"{text}: run {self.run_id[:8]}")

    def _show_molecules(self, best: list[Any]) -> None:
        from prefect.artifacts import create_markdown_artifact

        from molbuffer.flows.artifacts.pictures import molecule_picture

        # The end of most runs repeats their last state.
        if (told := tables.best_line(best) + str(len(best))) == self._best:
            return
        self._best = told
        text = tables.molecules_text(best, [molecule_picture(each.smiles) for each in best])
        if len(text.encode()) > MOST_TEXT_BYTES:
            text = tables.molecules_text(best, [None] * len(best))
        create_markdown_artifact(
            text, key=self._key("best-molecules"), description=f"The best molecules of run {self.run_id[:8]}"
        )

    def _show_curve(self, scope: Scope, objective: str | None) -> None:
        from prefect.artifacts import create_markdown_artifact

        picture = _curve(scope, objective)
        if picture is not None:
            # For an image artifact, the page also prints the address, which here contains the whole picture.
            text = f"![how run {self.run_id[:8]} went]({picture})"
            create_markdown_artifact(text, key=self._key("curve"), description=f"How run {self.run_id[:8]} went")

    def _key(self, name: str) -> str:
        """Return the key of an artifact, which all runs of a campaign share: each run adds versions to the artifact."""
        campaign = _NOT_IN_A_KEY.sub("-", self.campaign.lower()).strip("-")
        return f"{campaign or 'campaign'}-{name}"

    def _safely(self, what: str, show: Callable[[], None]) -> None:
        try:
            show()
        except Exception as error:
            # The run goes on: an error of its page must not cost a night of computation.
            if what not in self._failed:
                self._failed.add(what)
                warn(f"the page of the run has no {what}: {type(error).__name__}: {error}")


class _Told:
    """A maker of chunks that reports each chunk once it is made."""

    def __init__(self, make: MakeChunk, tell: Callable[[BuildReceipt], None]) -> None:
        self._make, self._tell = make, tell

    def __call__(self, request: Any) -> BuildReceipt:
        receipt = self._make(request)
        self._tell(receipt)
        return receipt

    def expect(self, requests: Sequence[Any]) -> None:
        made: object = self._make
        if isinstance(made, MakesAhead):
            made.expect(requests)

    def forget(self) -> None:
        made: object = self._make
        if isinstance(made, MakesAhead):
            made.forget()


def _curve(scope: Scope, objective: str | None) -> str | None:
    """Return one curve of a run: the rewards of its live rows, else the best rewards by oracle calls, else its loss."""
    from molbuffer.flows.artifacts.pictures import calls_curve, loss_curve, training_curve
    from molbuffer.pages import drawn_rewards, learning_curve, rewards_by_calls

    if objective is not None:
        rewards = drawn_rewards(scope, objective)
        if len(live := rewards.filter(rewards["event"] == "sample_batch")) > 1:
            return training_curve(live)
        for curve in rewards_by_calls(scope, objective):
            if len(curve.points) > 1:
                return calls_curve(curve.points)
    losses = learning_curve(scope, ["loss"])
    return loss_curve(losses) if len(losses) > 1 else None


_BUILDS = f"The newest builds, at most {tables.MOST_BUILDS}"


@contextmanager
def shown_run(store: str, run_id: str, campaign: str) -> Iterator[ShownRun]:
    """Show a run on its page: its store, its progress, and at its end, also after an error, its final state."""
    shown = ShownRun(store, run_id, campaign)
    inform(f"campaign {campaign}: run {run_id} of the store {store}")
    try:
        yield shown
    except BaseException as error:
        inform(f"the run ends with {type(error).__name__}; what it stored is kept, and run_id = {run_id} resumes it")
        if isinstance(error, Exception):
            shown.publish()
        raise
    shown.publish()
    inform(f"the run is finished; what it stored is in {store}")
