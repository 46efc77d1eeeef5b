"""Acquisitions: golden values by hand, each candidate at most once, and the same picks for the same seed."""

import numpy as np
import pytest

from molbuffer.scoring import (
    ACQUISITIONS,
    SURROGATES,
    Acquisition,
    ExpectedImprovement,
    GaussianProcess,
    Greedy,
    Picks,
    Prediction,
    ScoringConfigurationError,
    ThompsonSampling,
    UpperConfidenceBound,
)

ALL = [ExpectedImprovement(), Greedy(), ThompsonSampling(), UpperConfidenceBound()]
NAMES = ["ei", "mean", "thompson", "ucb"]


def prediction_of(*pairs: tuple[float, float]) -> Prediction:
    return Prediction(np.array([mean for mean, _ in pairs]), np.array([sd for _, sd in pairs]))


@pytest.fixture
def many() -> Prediction:
    rng = np.random.default_rng(0)
    return Prediction(rng.standard_normal(200), rng.uniform(0.01, 1, 200))


@pytest.mark.parametrize("acquisition", ALL, ids=NAMES)
@pytest.mark.parametrize("n", [0, 1, 32, 200, 300])
def test_each_candidate_is_picked_at_most_once_and_again_for_the_same_seed(
    acquisition: Acquisition, n: int, many: Prediction
) -> None:
    picks, again = (acquisition.pick(many, best=1.0, n=n, seed=3) for _ in range(2))
    assert isinstance(picks, Picks)
    assert picks.indices.dtype == np.int64
    assert len(picks.indices) == len(set(picks.indices.tolist())) == min(n, 200)
    assert picks.values.shape == (200,)
    assert np.isfinite(picks.values).all()
    assert np.array_equal(picks.indices, again.indices)
    assert np.array_equal(picks.values, again.values)


@pytest.mark.parametrize("acquisition", ALL, ids=NAMES)
def test_nothing_is_picked_of_nothing(acquisition: Acquisition) -> None:
    picks = acquisition.pick(prediction_of(), best=0.0, n=4, seed=0)
    assert (len(picks.indices), len(picks.values)) == (0, 0)


@pytest.mark.parametrize("acquisition", ALL, ids=NAMES)
def test_what_is_sure_to_be_best_is_picked_first(acquisition: Acquisition) -> None:
    picks = acquisition.pick(prediction_of((0.1, 0.0), (0.9, 0.0), (0.5, 0.0)), best=0.3, n=3, seed=0)
    assert picks.indices[:2].tolist() == [1, 2]


def test_expected_improvement_has_the_values_of_the_formula() -> None:
    # By hand: z = 0: 0.2 φ(0); z = 1: Φ(1) + φ(1); z = -2: 0.1 (φ(2) - 2 Φ(-2)); certain: the improvement itself.
    prediction = prediction_of((1.0, 0.2), (2.0, 1.0), (0.8, 0.1), (1.25, 0.0), (0.5, 0.0))
    picks = ExpectedImprovement().pick(prediction, best=1.0, n=3, seed=0)
    assert picks.values.tolist() == pytest.approx([0.0797884561, 1.0833154706, 0.0008490702, 0.25, 0.0])
    assert picks.indices.tolist() == [1, 3, 0]


def test_candidates_without_a_chance_are_ordered_all_the_same() -> None:
    picks = ExpectedImprovement().pick(prediction_of((0, 1e-3), (0, 1e-2), (0.5, 1e-3), (0, 0)), best=1.0, n=4, seed=0)
    assert picks.values.tolist() == [0.0] * 4
    assert picks.indices.tolist() == [1, 2, 0, 3]


def test_without_a_best_value_the_expected_improvement_is_the_mean(many: Prediction) -> None:
    picks = ExpectedImprovement().pick(many, best=-np.inf, n=5, seed=0)
    assert picks.indices.tolist() == np.argsort(-many.mean)[:5].tolist()


def test_a_fixed_strength_is_the_confidence_bound(many: Prediction) -> None:
    picks = UpperConfidenceBound(0.5, 0.5).pick(many, best=0.0, n=10, seed=0)
    values = many.mean + 10**0.5 * many.sd
    assert np.allclose(picks.values, values)
    assert picks.indices.tolist() == np.argsort(-values)[:10].tolist()


def test_each_pick_has_a_strength_of_its_own(many: Prediction) -> None:
    picks = UpperConfidenceBound().pick(many, best=0.0, n=40, seed=0)
    strengths = (picks.values - many.mean) / many.sd
    picked, rest = strengths[picks.indices], np.delete(strengths, picks.indices)
    assert np.allclose(picked, 10 ** np.random.default_rng(0).uniform(-1, 0, 40))
    assert np.allclose(rest, picked[-1])
    for place, index in enumerate(picks.indices):
        left = np.setdiff1d(np.arange(200), picks.indices[:place])
        assert index == left[np.argmax(many.mean[left] + picked[place] * many.sd[left])]


def test_thompson_sampling_picks_by_the_chance_of_being_best() -> None:
    prediction = prediction_of((0.0, 1.0), (1.0, 1.0))
    first = [ThompsonSampling().pick(prediction, best=0.0, n=1, seed=seed).indices[0] for seed in range(2000)]
    assert np.mean(first) == pytest.approx(0.7602, abs=0.03)  # Φ(1 / √2)


def test_the_mean_alone_takes_no_chance() -> None:
    picks = Greedy().pick(prediction_of((0.5, 0.0), (0.4, 9.0), (0.5, 9.0)), best=0.0, n=2, seed=0)
    assert picks.indices.tolist() == [0, 2]


def test_wrong_settings_and_predictions_are_refused() -> None:
    with pytest.raises(ScoringConfigurationError, match=r"lowest = 1 and highest = 0"):
        UpperConfidenceBound(lowest=1, highest=0)
    with pytest.raises(ValueError, match=r"a mean and an sd of each molecule, got \(2,\) and \(3,\)"):
        Prediction(np.zeros(2), np.zeros(3))


def test_a_part_of_a_prediction_keeps_its_noise() -> None:
    part = Prediction(np.arange(4.0), np.arange(4.0) / 10, 0.5).of([3, 1])
    assert (part.mean.tolist(), part.sd.tolist(), part.noise_sd, len(part)) == ([3.0, 1.0], [0.3, 0.1], 0.5, 2)


def test_they_are_kinds() -> None:
    assert {name: kind.registered for name, kind in ACQUISITIONS.kinds.items()} == {
        name: type(each) for name, each in zip(NAMES, ALL, strict=True)
    }
    assert {name: kind.registered for name, kind in SURROGATES.kinds.items()} == {"gp": GaussianProcess}
