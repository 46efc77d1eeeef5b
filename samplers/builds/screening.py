"""The screening of builds: a model of the known scores picks the molecules to score.

The model of a build is a function of the scores of all rows that the run kept before, in row order, of the scores that
other runs had stored when the run began, and of the run's seed. So a resumed run screens as an uninterrupted one would.
All samplers of a training batch share one model, fitted on the scores of earlier iterations and of the builds of the
buffer of their iteration. Each chunk of a build of the buffer has a model of its own, fitted also on earlier chunks.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from functools import cached_property

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from molbuffer.samplers.seeds import derive_seed
from molbuffer.scoring import (
    KnownValues,
    Objective,
    Prediction,
    RewardModel,
    Screening,
    WeightedComponent,
    calibration,
    dear_components,
    inflation,
    pick_molecules,
)
from molbuffer.storage import Event, Metric, PickedBy, SampleStore, ScreenedRow

Values = Mapping[str, float]
"""Raw values of molecules by canonical SMILES; NaN where there is none."""


@dataclass(frozen=True, order=True)
class BuildPlace:
    """The place of a build in the row order of a run."""

    iteration: int
    event: str
    sampler_order: int = 0
    chunk: int = 0


_KEPT = """SELECT s.smiles, s.iteration, b.event, b.sampler_order, b.chunk, r.value AS reward,
        (r.value - s.predicted_reward) / nullif(s.predicted_sd, 0) AS error
    FROM {samples} AS s JOIN {builds} AS b USING (build_id)
    LEFT JOIN (FROM {rewards} WHERE objective_sha256 = ? AND status = 'ok') AS r USING (build_id, "row")
    WHERE b.run_id = ? AND s.kept AND (b.iteration < ? OR (b.iteration = ? AND (b.event < ?
        OR (b.event = ? AND (b.sampler_order, b.chunk) < (?, ?)))))
    ORDER BY b.iteration, b.event, b.sampler_order, b.chunk, s."row" """
_SCORED = """SELECT smiles, any_value(value) AS value FROM {scores}
    WHERE component = ? AND version = ? AND status = 'ok' [of_runs]
    GROUP BY smiles ORDER BY smiles"""
_OF_RUNS = """AND smiles IN (SELECT s.smiles FROM {samples} AS s JOIN {builds} AS b USING (build_id)
    SEMI JOIN named ON named.run_id = b.run_id WHERE s.kept)"""


@dataclass
class _Found:
    """The scored molecules of a build.

    Attributes:
        molecules: the canonical SMILES of the kept molecules.
        values: the raw values by component and molecule.
        best: the best reward, at least 0.
        errors: the errors of the predicted rewards, divided by their predicted standard deviations.
    """

    molecules: set[str] = field(default_factory=set)
    values: dict[str, dict[str, float]] = field(default_factory=dict)
    best: float = 0.0
    errors: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class _PlacedModel:
    """The model of a build, None while there are too few scores, and the factor on its standard deviations."""

    place: BuildPlace
    model: RewardModel | None
    inflation: float


@dataclass
class Screener:
    """The screening of the builds of a run.

    Attributes:
        screening: the settings.
        objective: the objective, whose expensive components are predicted.
        store: the store with the scores.
        run_id: the run.
        seed: the seed of the run, from which the seeds of the models are derived.
    """

    screening: Screening
    objective: Objective
    _: KW_ONLY
    store: SampleStore
    run_id: str
    seed: int
    _found: dict[BuildPlace, _Found] = field(default_factory=dict)
    _model: _PlacedModel | None = None

    def read(self, place: BuildPlace) -> None:
        """Replace the known scores by those of all rows that the run has committed before a place."""
        event, order, chunk = place.event, place.sampler_order, place.chunk
        which = [self.run_id, place.iteration, place.iteration, event, event, order, chunk]
        kept = self.store.read_arrow(_KEPT, parameters=[self.objective.sha256, *which])
        molecules = list(dict.fromkeys(kept["smiles"].to_pylist()))
        values = {part.component.name: _stored_values(self.store, part, molecules, self.run_id) for part in self._dear}
        self._found, self._model = {}, None
        for row in kept.to_pylist():
            at = BuildPlace(row["iteration"], row["event"], row["sampler_order"], row["chunk"])
            found = self._found.setdefault(at, _Found())
            found.molecules.add(row["smiles"])
            found.best = max(found.best, row["reward"] or 0.0)
            if row["error"] is not None:
                found.errors.append(row["error"])
            for name, known in values.items():
                if (value := known.get(row["smiles"])) is not None:
                    found.values.setdefault(name, {})[row["smiles"]] = value

    def learn(
        self,
        place: BuildPlace,
        values: Mapping[str, Values],
        rewards: Mapping[int, float],
        screened: Sequence[ScreenedRow | None],
    ) -> None:
        """Add the scores of a build.

        Args:
            place: the place of the build.
            values: the raw values of the kept molecules by component.
            rewards: the rewards by row, NaN where one failed.
            screened: the result of screening for each row.
        """
        valid = {part.component.name: _valid(part, values[part.component.name]) for part in self._dear}
        molecules = {text for of_it in values.values() for text in of_it}
        known = {row: reward for row, reward in rewards.items() if not math.isnan(reward)}
        errors = [
            (known[row] - each.mean) / each.sd
            for row, each in enumerate(screened)
            if each is not None and each.mean is not None and each.sd and row in known
        ]
        self._found[place] = _Found(molecules, valid, max(known.values(), default=0.0), errors)

    def candidates(self, place: BuildPlace, wanted: int) -> int:
        """Return the number of rows to draw so that ``wanted`` of them can be picked."""
        return wanted if self._model_at(place).model is None else math.ceil(wanted * self.screening.candidates)

    def count_new(self, smiles: Collection[str]) -> int:
        """Return the number of the given distinct canonical SMILES that the run has not scored."""
        own = self._own
        return sum(text not in own for text in smiles)

    def screen(self, smiles: Sequence[str], wanted: int, place: BuildPlace, seed: int) -> dict[str, ScreenedRow]:
        """Pick the molecules to score from distinct canonical SMILES, and return the result for each by its SMILES.

        A molecule that the run has scored before is picked only if there are too few others, since it has no new score.
        """
        placed, own = self._model_at(place), self._own
        if placed.model is None:
            return {text: ScreenedRow(picked_by=PickedBy.WARM_UP) for text in smiles[:wanted]}
        prediction, best = placed.model.predict(smiles), self._best(place)
        prediction = replace(prediction, sd=prediction.sd * placed.inflation)
        new = np.array([text not in own for text in smiles], bool)
        rows: dict[int, ScreenedRow] = {}
        for part in (np.flatnonzero(new), np.flatnonzero(~new)):
            missing = wanted - sum(row.picked_by is not None for row in rows.values())
            rows |= self._picked(part, prediction, best, missing, seed)
        return {smiles[at]: row for at, row in sorted(rows.items())}

    def description(self, place: BuildPlace) -> str:
        """Return a description of the model of a build as JSON: its settings, and the scores that it was fitted on."""
        model = self._model_at(place).model
        said = {
            "screening": repr(self.screening),
            "scored": 0 if model is None else model.scored,
            "best": self._best(place),
            "seed": self._seed_at(place),
            "snapshot": None if self.screening.runs == ("own",) else self._snapshot,
        }
        return json.dumps(said, sort_keys=True)

    def _picked(
        self, candidates: NDArray[np.int64], prediction: Prediction, best: float, n: int, seed: int
    ) -> dict[int, ScreenedRow]:
        if not len(candidates):
            return {}
        part = prediction.of(candidates)
        picked = pick_molecules(self.screening, part, best, max(n, 0), seed)
        measured = np.hypot(part.sd, part.noise_sd)
        by = dict.fromkeys(picked.by_model.tolist(), PickedBy.MODEL)
        by |= dict.fromkeys(picked.by_chance.tolist(), PickedBy.CHANCE)
        columns = zip(candidates.tolist(), part.mean.tolist(), measured.tolist(), picked.values.tolist(), strict=True)
        return {
            at: ScreenedRow(mean, sd, None if math.isnan(value) else value, by.get(number))
            for number, (at, mean, sd, value) in enumerate(columns)
        }

    def _model_at(self, place: BuildPlace) -> _PlacedModel:
        place = _place_of_model(place)
        if self._model is None or self._model.place != place:
            known = {part.component.name: self._known(part.component.name, place) for part in self._dear}
            ready = min(map(len, known.values())) >= self.screening.warm_up
            seed = self._seed_at(place)
            model = RewardModel.of(self.objective, self.screening.model, known, seed) if ready else None
            self._model = _PlacedModel(place, model, self._inflation(place) if self.screening.inflate else 1.0)
        return self._model

    def _best(self, place: BuildPlace) -> float:
        """Return the best reward of the run before a build; 0 without any."""
        before = _place_of_model(place)
        return max((found.best for at, found in self._found.items() if at < before), default=0.0)

    def _inflation(self, before: BuildPlace) -> float:
        """Return the factor on the standard deviations of a build, by the errors of the batches before it."""
        batches: dict[tuple[int, str], list[float]] = {}
        for at in sorted(each for each in self._found if each < before):
            batches.setdefault((at.iteration, at.event), []).extend(self._found[at].errors)
        return inflation(batches.values())

    def _seed_at(self, place: BuildPlace) -> int:
        place = _place_of_model(place)
        return derive_seed(self.seed, "screening", place.iteration, place.event, place.sampler_order, place.chunk)

    def _known(self, name: str, before: BuildPlace) -> KnownValues:
        """Return the values of a component: first those of other runs, then those of this run in row order."""
        found = dict(self._of_others[name])
        for place in sorted(each for each in self._found if each < before):
            found |= self._found[place].values.get(name, {})
        return KnownValues(list(found), np.fromiter(found.values(), np.float64, len(found)))

    @property
    def _own(self) -> set[str]:
        return set().union(*(found.molecules for found in self._found.values()))

    @cached_property
    def _dear(self) -> tuple[WeightedComponent, ...]:
        return dear_components(self.objective)

    @cached_property
    def _snapshot(self) -> int | None:
        return self.store.run(self.run_id).pinned_snapshot

    @cached_property
    def _of_others(self) -> dict[str, dict[str, float]]:
        """The values by component that other runs had stored when this run began."""
        runs = self.screening.runs
        if runs == ("own",):
            return {part.component.name: {} for part in self._dear}
        named = None if "all" in runs else [self.store.run(each).run_id for each in runs if each != "own"]
        return {part.component.name: dict(self._scored_by(part, named)) for part in self._dear}

    def _scored_by(self, part: WeightedComponent, runs: Sequence[str] | None) -> Iterator[tuple[str, float]]:
        component = part.component
        tables = {} if runs is None else {"named": pa.table({"run_id": pa.array(runs, pa.string())})}
        found = self.store.read_arrow(
            _SCORED.replace("[of_runs]", "" if runs is None else _OF_RUNS),
            snapshot=self._snapshot,
            parameters=[component.name, component.version],
            **tables,
        )
        values = dict(zip(found["smiles"].to_pylist(), found["value"].to_pylist(), strict=True))
        yield from _valid(part, values).items()


def screening_metrics(rows: Sequence[ScreenedRow | None], rewards: Mapping[int, float]) -> list[Metric]:
    """Return the metrics of the predictions of a build, by the molecules that were scored afterwards.

    Args:
        rows: the result of screening for each row.
        rewards: the rewards by row.
    """
    said = [(row, rewards[at]) for at, row in enumerate(rows) if row and row.mean is not None and at in rewards]
    refused = sum(row is not None and row.picked_by is None for row in rows)
    mean = np.array([row.mean for row, _ in said], np.float64)
    # The standard deviations of the rows are those of measured rewards, noise included.
    sd = np.array([row.sd for row, _ in said], np.float64)
    found = calibration(Prediction(mean, sd), np.array([reward for _, reward in said], np.float64))
    return [
        Metric("screened_out", float(refused)),
        Metric("screening_coverage", found.coverage_90),
        Metric("screening_correlation", found.rank_correlation),
        Metric("screening_error", found.rmse),
    ]


def _place_of_model(place: BuildPlace) -> BuildPlace:
    return BuildPlace(place.iteration, place.event) if place.event == Event.SAMPLE_BATCH.value else place


def _stored_values(store: SampleStore, part: WeightedComponent, molecules: Sequence[str], run_id: str) -> Values:
    component = part.component
    found = store.find_scores(component.name, component.version, molecules, lost_in=run_id)
    return _valid(part, {text: score.value for text, score in found.items() if score.value is not None})


def _valid(part: WeightedComponent, values: Values) -> dict[str, float]:
    """Return the values that have a transformed value; failed scores are left out."""
    raw = np.fromiter(values.values(), np.float64, len(values))
    usable = ~np.isnan(np.where(np.isfinite(raw), part.transformed(raw), np.nan))
    return {text: value for (text, value), good in zip(values.items(), usable.tolist(), strict=True) if good}
