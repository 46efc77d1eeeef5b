"""Screening: a model of the known scores picks the molecules to score from more candidates than are needed.

Each expensive component has a model of its raw values; cheap components are computed. Transforms and aggregation turn
the predictions into a distribution of the reward of each candidate, by which an acquisition picks. The other candidates
are stored as rejected by ``screening``, with their predictions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

import numpy as np
from annotated_types import Ge
from numpy.typing import NDArray

from molbuffer.kinds import (
    Count,
    KindTable,
    OneOf,
    RunNames,
    Share,
    Typed,
    calling,
    checked,
    in_a_list,
    shown,
    wrong_result,
)
from molbuffer.scoring.components import score_many
from molbuffer.scoring.objective import Objective, WeightedComponent
from molbuffer.scoring.surrogates import (
    ACQUISITIONS,
    SURROGATES,
    Acquisition,
    FittedSurrogate,
    GaussianProcess,
    Picks,
    Prediction,
    Surrogate,
    UpperConfidenceBound,
)
from molbuffer.scoring.transforms import Identity

SCREENING = "screening"
"""The reason that rejects a candidate which screening did not pick."""

MODEL, ACQUISITION = OneOf(SURROGATES, bare=True), OneOf(ACQUISITIONS, bare=True)
Floats = NDArray[np.float64]

_SCENARIOS = 64
"""The number of values of the expensive components that represent the predicted distribution of a molecule."""


@checked
@dataclass(frozen=True)
class Screening:
    """The settings of screening, in which a model of the known scores chooses the molecules to score.

    Attributes:
        candidates: the number of molecules that are drawn and judged for each that is scored, at least 1.
        model: the model of the raw values of an expensive component: gp, or one of yours. Expensive are the components
            with ``cost = "high"``, or all components if none has it.
        acquisition: the rule that picks molecules by their predictions: ucb, ei, thompson, mean, or one of yours.
        explore: the share of the scored molecules that is drawn at random from all candidates, in [0, 1]. It shows how
            good the model is where it predicts low rewards.
        warm_up: the number of scores of each expensive component from which on molecules are screened.
        inflate: whether the predicted standard deviations are multiplied until the 90 % intervals contain 90 % of the
            values scored before: a model that errs explores more.
        runs: the runs whose scores the model learns from. own: this run; all: this run, and the scores that the store
            had at its start; or ids of runs, or the first characters of ids: those runs and this one.

    Example:
        >>> with lab.run("screened", objective=objective, seed=0, screening=mb.Screening(warm_up=16)) as run:
        ...     first = run.build(mb.ModelSampler("first", run.agent), n=16)
        ...     second = run.build(mb.ModelSampler("second", run.agent), n=4)
        >>> second[0].kept, second[0].drawn >= 16
        (4, True)
    """

    candidates: Annotated[float, Ge(1)] = 4.0
    model: Annotated[Surrogate, Typed(Annotated[KindTable, MODEL])] = GaussianProcess()
    acquisition: Annotated[Acquisition, Typed(Annotated[KindTable, ACQUISITION])] = UpperConfidenceBound()
    explore: Share = 0.125
    warm_up: Count = 64
    inflate: bool = False
    runs: RunNames = ("own",)

    def __post_init__(self) -> None:
        runs = in_a_list(self.runs)
        object.__setattr__(self, "runs", tuple(runs) if isinstance(runs, list) else runs)
        for key, family, kind in (("model", SURROGATES, Surrogate), ("acquisition", ACQUISITIONS, Acquisition)):
            value = getattr(self, key)
            if isinstance(value, str):
                object.__setattr__(self, key, family[value]())
            elif isinstance(value, type) or not isinstance(value, kind):
                expected = "an object with a method fit" if key == "model" else "an object with a method pick"
                raise TypeError(f"{key}: expected the name of a kind, or {expected}, got {shown(value)}")


def dear_components(objective: Objective) -> tuple[WeightedComponent, ...]:
    """Return the components whose values a model predicts: those with ``cost = "high"``, or all if none has it."""
    dear = tuple(each for each in objective.components if each.component.cost == "high")
    return dear or objective.components


@dataclass(frozen=True)
class KnownValues:
    """Raw values of one component, in the order in which they were found.

    Attributes:
        smiles: different canonical SMILES [n].
        values: float64 [n], without NaN.
    """

    smiles: Sequence[str]
    values: Floats

    def __len__(self) -> int:
        return len(self.smiles)


@dataclass(frozen=True)
class RewardModel:
    """The prediction of rewards by fitted models of the expensive components.

    Attributes:
        objective: the objective, with transforms and aggregation.
        fitted: the fitted model of each expensive component, by the name of the component.
        signs: -1 for a component whose lower values are better, and whose model is fitted on the negated values; else
            1; by the name of the component.
        scored: the number of values that each model was fitted on; the smallest if the numbers differ.
    """

    objective: Objective
    fitted: Mapping[str, FittedSurrogate]
    scored: int
    signs: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, objective: Objective, surrogate: Surrogate, known: Mapping[str, KnownValues], seed: int) -> RewardModel:
        """Fit the models on known values.

        Args:
            objective: the objective, with transforms and aggregation.
            surrogate: the kind of the models.
            known: the values of each expensive component by its name.
            seed: the seed of all that is random in the models.

        Raises:
            PluginError: a model that is not molbuffer's own cannot be fitted.
        """
        parts = {each.component.name: each for each in objective.components}
        signs = {name: _sign(parts[name], data.values) for name, data in known.items()}
        fitted = {}
        for name, data in known.items():
            with calling("model", surrogate, f"to fit {len(data)} values of {name!r}"):
                fitted[name] = surrogate.fit(data.smiles, signs[name] * data.values, seed)
        return cls(objective, fitted, min(map(len, known.values())), signs)

    def predict(self, smiles: Sequence[str]) -> Prediction:
        """Return mean and standard deviation of the rewards of n canonical SMILES.

        The prediction of a molecule without a reward, such as one that a cheap component has no value for, is 0.

        Raises:
            PluginError: a model that is not molbuffer's own fails, or gives something else than a prediction.
        """
        said = {name: self._predict_one(name, smiles) for name in self.fitted}
        if (only := self._the_only_one()) is not None:
            return said[only]
        cheap = [each for each in self.objective.components if each.component.name not in said]
        raw: dict[str, Floats] = {}
        n = len(smiles)
        for part in cheap:
            scores = score_many(part.component, smiles)
            values = np.array([np.nan if each.value is None else each.value for each in scores], np.float64)
            raw[part.component.name] = np.tile(values, _SCENARIOS)
        for (name, each), z in zip(said.items(), _normal_scenarios(len(said)), strict=True):
            values = each.mean + z[:, None] * each.sd
            raw[name] = self._possible(name, values).ravel()
        rewards = self.objective.rewards(raw).reshape(_SCENARIOS, n)
        unknown = np.isnan(rewards).any(axis=0)
        rewards[:, unknown] = 0.0
        return Prediction(rewards.mean(axis=0), rewards.std(axis=0))

    def _predict_one(self, name: str, smiles: Sequence[str]) -> Prediction:
        model = self.fitted[name]
        with calling("model", model, f"to predict {len(smiles)} values"):
            found = model.predict(smiles)
        expected = f"a Prediction of {len(smiles)} finite means and standard deviations of at least 0"
        if not isinstance(found, Prediction):
            raise wrong_result("model", model, shown(found), expected)
        mean, sd = np.asarray(found.mean, np.float64), np.asarray(found.sd, np.float64)
        if (
            mean.shape != (len(smiles),)
            or sd.shape != mean.shape
            or not np.isfinite([mean, sd]).all()
            or (sd < 0).any()
        ):
            raise wrong_result("model", model, shown(found), expected)
        return Prediction(self.signs.get(name, 1) * mean, sd, found.noise_sd)

    def _the_only_one(self) -> str | None:
        """Return the name of the component whose raw value is the reward itself; None if there is no such component."""
        parts = self.objective.components
        alone = len(parts) == 1 and isinstance(parts[0].transform, Identity)
        of_raw = {"arithmetic_mean": True, "geometric_mean": True, "product": parts[0].weight == 1}
        exact = alone and not parts[0].pessimism and of_raw.get(str(self.objective.aggregation), False)
        return parts[0].component.name if exact else None

    def _possible(self, name: str, values: Floats) -> Floats:
        """Return predicted raw values of a component, clipped to the values that its transform is defined for."""
        (part,) = (each for each in self.objective.components if each.component.name == name)
        # A model may predict any number, but the identity is defined in [0, 1] only.
        return np.clip(values, 0.0, 1.0) if isinstance(part.transform, Identity) else values


def _sign(part: WeightedComponent, values: Floats) -> int:
    """Return -1 if the known values of a component correlate negatively with the transformed values, else 1."""
    transformed = part.transformed(values)
    if len(values) < 2 or not values.std() or not transformed.std():
        return 1
    return -1 if np.corrcoef(values, transformed)[0, 1] < 0 else 1


def _normal_scenarios(components: int) -> Floats:
    """Return standard normal values [components, scenarios] that fill the space evenly, the same in every call.

    The quantiles are an additive recurrence whose steps are powers of the root of x^(d+1) = x + 1 (Roberts 2018,
    http://extremelearning.com.au/unreasonable-effectiveness-of-quasirandom-sequences/); for one component they are
    midpoints.
    """
    from scipy.special import ndtri  # which takes a while to load, and only those pay who predict

    numbers = np.arange(_SCENARIOS)
    if components == 1:
        return np.asarray(ndtri((numbers + 0.5) / _SCENARIOS), np.float64)[None]
    root = 2.0
    for _ in range(50):
        root = (1 + root) ** (1 / (components + 1))
    steps = root ** -np.arange(1.0, components + 1)
    uniform = (0.5 + np.outer(steps, numbers)) % 1
    return np.asarray(ndtri(np.clip(uniform, 1e-6, 1 - 1e-6)), np.float64)


@dataclass(frozen=True)
class Picked:
    """The candidates that are picked to be scored.

    Attributes:
        by_model: indices of the candidates that the acquisition picks.
        by_chance: indices of the candidates that are drawn at random.
        values: float64 [n], the acquisition's value of every candidate; NaN where the acquisition was not asked.
    """

    by_model: NDArray[np.int64]
    by_chance: NDArray[np.int64]
    values: Floats


def pick_molecules(screening: Screening, prediction: Prediction, best: float, n: int, seed: int) -> Picked:
    """Pick the candidates to score: first some at random, then by the acquisition from the others.

    Args:
        screening: the settings.
        prediction: the predicted rewards of the candidates.
        best: the best known reward.
        n: the number of molecules to score; all are picked if there are fewer.
        seed: the seed of the random picks and of the acquisition.

    Raises:
        PluginError: an acquisition that is not molbuffer's own fails, or gives something else than picks.
    """
    total = len(prediction.mean)
    n = min(n, total)
    rng = np.random.default_rng(seed)
    by_lot = min(n, int(n * screening.explore + rng.random()))
    chance = rng.permutation(total)[:by_lot].astype(np.int64)
    left = np.setdiff1d(np.arange(total), chance)
    values = np.full(total, np.nan)
    if n == by_lot:
        return Picked(np.zeros(0, np.int64), chance, values)
    picks = _picks(screening.acquisition, prediction.of(left), best, n - by_lot, int(rng.integers(2**63)))
    values[left] = picks.values
    return Picked(left[picks.indices], chance, values)


def _picks(acquisition: Acquisition, prediction: Prediction, best: float, n: int, seed: int) -> Picks:
    total = len(prediction.mean)
    with calling("acquisition", acquisition, f"to pick {n} of {total} molecules"):
        picks: Any = acquisition.pick(prediction, best, n, seed)
    expected = f"Picks of {n} different indices below {total} and {total} values"
    if not isinstance(picks, Picks):
        raise wrong_result("acquisition", acquisition, shown(picks), expected)
    indices, values = np.asarray(picks.indices), np.asarray(picks.values, np.float64)
    whole = indices.ndim == 1 and np.issubdtype(indices.dtype, np.integer)
    if not whole or len(indices) != n or len(set(indices.tolist()) & set(range(total))) != n:
        raise wrong_result("acquisition", acquisition, shown(picks), expected)
    if values.shape != (total,):
        raise wrong_result("acquisition", acquisition, shown(picks), expected)
    return Picks(indices.astype(np.int64), values)
