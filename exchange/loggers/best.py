"""The best molecules of a run so far: their rewards as points, and grids of them as pictures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby

from molbuffer.exchange.loggers.base import LogPicture, LogPoint
from molbuffer.exchange.loggers.pictures import molecule_grid
from molbuffer.exchange.loggers.points import RunState
from molbuffer.storage import RUN_AND_ACTORS, SampleStore

SHOWN = 12
"""The number of molecules of a picture."""
TOP = 10
"""The number of best molecules whose mean reward is logged."""
REWARD, MEAN_OF_TOP, PICTURES = "best/reward", f"best/mean_of_top_{TOP}", "best/molecules"

# The best molecules of each iteration suffice to find the best molecules up to any iteration.
_BEST = f"""
    SELECT builds.iteration, samples.smiles, rewards.objective_sha256, max(rewards.value) AS reward,
        max(rewards.created) AS created
    FROM {{builds}} AS builds JOIN {{samples}} AS samples ON samples.build_id = builds.build_id
    JOIN {{rewards}} AS rewards ON rewards.build_id = samples.build_id AND rewards."row" = samples."row"
        AND rewards.objective_sha256 = builds.objective_sha256 AND rewards.status = 'ok'
    WHERE builds.run_id IN {RUN_AND_ACTORS} AND builds.iteration >= ? AND (? IS NULL OR builds.iteration < ?)
        AND samples.kept
    GROUP BY builds.iteration, samples.smiles, rewards.objective_sha256
    QUALIFY row_number() OVER (PARTITION BY builds.iteration, rewards.objective_sha256
        ORDER BY max(rewards.value) DESC, samples.smiles) <= {SHOWN}
    ORDER BY builds.iteration, reward DESC, samples.smiles"""  # noqa: S608
_CHECKPOINTS = """SELECT iteration, min(created) AS created FROM {checkpoints}
    WHERE run_id = ? AND (? IS NULL OR iteration <= ?) GROUP BY iteration ORDER BY iteration"""


@dataclass
class BestMolecules:
    """The best molecules of a run from its first iteration to the last one that was read.

    Rewards of two objectives cannot be compared: when the objective changes, as in another stage, the list of the best
    molecules starts empty.

    Attributes:
        store: the store.
        run_id: the run.
        every: the least number of iterations between two pictures; 0 makes none.
    """

    store: SampleStore
    run_id: str
    every: int
    _objective: str | None = None
    _best: dict[str, float] = field(default_factory=dict)
    _read: int = 0
    _pictured: tuple[str, ...] | None = None
    _newest: tuple[int, datetime] | None = None

    def between(self, state: RunState, last_picture: int | None) -> tuple[list[LogPoint], list[LogPicture]]:
        """Return the points and pictures of the settled iterations since the last call.

        Args:
            state: the progress of the run.
            last_picture: the step of the last picture in the log, up to which no picture is drawn; None if it has none.
        """
        bounds = [self.run_id, self._read, state.settled, state.settled]
        rows = self.store.read_arrow(_BEST, snapshot=state.snapshot, parameters=bounds).to_pylist()
        points: list[LogPoint] = []
        pictures: list[LogPicture] = []
        due = self._due(state)
        for iteration, group in groupby(rows, lambda row: row["iteration"]):
            while due and due[0][0] <= iteration:
                pictures += self._picture(*due.pop(0), last_picture)
            created = max(self._add(row) for row in group)
            points += self._points(iteration, created)
            self._newest = iteration + 1, created
        for step in due:
            pictures += self._picture(*step, last_picture)
        if state.settled is not None:
            self._read = max(self._read, state.settled)
        elif self._newest is not None and self.every:
            # A finished run has a picture of its final molecules, whenever the previous picture was.
            pictures += self._picture(*self._newest, last_picture)
        return points, pictures

    def _add(self, row: dict[str, object]) -> datetime:
        if row["objective_sha256"] != self._objective:
            self._objective, self._best = str(row["objective_sha256"]), {}
        smiles, reward, created = str(row["smiles"]), row["reward"], row["created"]
        assert isinstance(reward, float)
        assert isinstance(created, datetime)
        self._best[smiles] = max(reward, self._best.get(smiles, reward))
        self._best = dict(sorted(self._best.items(), key=lambda each: (-each[1], each[0]))[:SHOWN])
        return created

    def _points(self, iteration: int, created: datetime) -> Iterator[LogPoint]:
        rewards = list(self._best.values())[:TOP]
        yield LogPoint(REWARD, iteration, rewards[0], created)
        yield LogPoint(MEAN_OF_TOP, iteration, sum(rewards) / len(rewards), created)

    def _due(self, state: RunState) -> list[tuple[int, datetime]]:
        """Return the steps and times of the new checkpoints at which a picture is due.

        A picture is due at the first checkpoint after each multiple of ``every``.
        """
        if not self.every:
            return []
        found = self.store.read_arrow(
            _CHECKPOINTS, snapshot=state.snapshot, parameters=[self.run_id, state.settled, state.settled]
        ).to_pylist()
        steps = [(row["iteration"], row["created"]) for row in found]
        firsts = {min(step for step, _ in steps if step // self.every == each // self.every) for each, _ in steps}
        return [step for step in steps if step[0] in firsts and step[0] > self._read]

    def _picture(self, step: int, created: datetime, last_picture: int | None) -> Iterator[LogPicture]:
        shown = tuple(self._best)
        if not shown or self._pictured == shown:
            return
        self._pictured = shown
        if last_picture is None or step > last_picture:
            png, width, height = molecule_grid(self._best)
            yield LogPicture(tag=PICTURES, step=step, png=png, width=width, height=height, created=created)
