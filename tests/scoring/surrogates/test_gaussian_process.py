"""The Gaussian process: the posterior of the textbook, right about its errors, and the same model every time."""

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from molbuffer.scoring import Fingerprint, GaussianProcess, calibration, count_fingerprint, parse_smiles
from molbuffer.scoring.components import Similarity
from molbuffer.scoring.surrogates import Prediction, gaussian_process
from molbuffer.scoring.surrogates.gaussian_process import Posterior, Scale, without_outliers
from molbuffer.scoring.surrogates.kernel import Features, Kernel

CELECOXIB = "Cc1ccc(-c2cc(C(F)(F)F)nn2-c2ccc(S(N)(=O)=O)cc2)cc1"


def same(a: Prediction, b: Prediction) -> bool:
    return np.array_equal(a.mean, b.mean) and np.array_equal(a.sd, b.sd) and a.noise_sd == b.noise_sd


def measured(function: np.ndarray, noise: float) -> np.ndarray:
    return function + np.sqrt(noise) * np.random.default_rng(1).standard_normal(len(function))


def test_the_posterior_of_two_targets_is_that_of_the_blackboard() -> None:
    """C = [[1.5, 0.5], [0.5, 1.5]], C⁻¹ = [[0.75, -0.25], [-0.25, 0.75]], 1ᵀC⁻¹1 = 1, β = 0.5,
    C⁻¹(y - β) = [-0.5, 0.5], s² = (0.5 + 4) / (1 + 4); at k = [0.5, 1]: kᵀC⁻¹k = 0.6875, 1ᵀC⁻¹k = 0.75."""
    posterior = Posterior.of(np.array([[1, 0.5], [0.5, 1]]), np.array([0.0, 1.0]), noise=0.5)
    assert posterior.mean == pytest.approx(0.5)
    assert posterior.variance == pytest.approx(0.9)
    assert posterior.weights.tolist() == pytest.approx([-0.5, 0.5])
    mean, sd = posterior.at(np.array([[0.5], [1.0]]))
    assert mean.tolist() == pytest.approx([0.75])
    assert (sd**2).tolist() == pytest.approx([0.9 * (1 - 0.6875 + 0.25**2)])


def test_the_posterior_is_that_of_an_unknown_mean(library: list[str]) -> None:
    """The same as with a mean of 0 and a kernel to which a large constant is added, as the textbook has it."""
    known, asked, values = library[:60], library[60:100], np.linspace(-1, 2, 60) ** 2
    fitted = GaussianProcess(noise=0.01).fit(known[:31], values[:31], seed=0)
    got = fitted.predict(asked)
    bits, new = Features.of(known[:31], 2), Features.of(asked, 2)
    scale = Scale(values[:31].mean(), values[:31].std())
    constant, amplitude = 1e6, fitted.posterior.variance
    covariance = amplitude * (fitted.kernel.between(bits, bits) + constant + 0.01 * np.eye(31))
    across = amplitude * (fitted.kernel.between(bits, new) + constant)
    mean = across.T @ np.linalg.solve(covariance, scale.scaled(values[:31]))
    variance = amplitude * (1 + constant) - np.einsum("nm,nm->m", across, np.linalg.solve(covariance, across))
    assert np.allclose(got.mean, scale.mean + scale.sd * mean, atol=1e-4)
    assert np.allclose(got.sd, scale.sd * np.sqrt(variance), atol=1e-4)
    assert got.noise_sd == pytest.approx(scale.sd * np.sqrt(amplitude * 0.01))


@pytest.mark.parametrize("noise", [1e-4, 0.3])
def test_nine_in_ten_values_are_where_nine_in_ten_should_be(
    library: list[str], functions: np.ndarray, noise: float
) -> None:
    found = []
    for function in functions:
        values = measured(function, noise)
        prediction = GaussianProcess().fit(library[:300], values[:300], 0).predict(library[300:])
        found.append(calibration(prediction, values[300:]))
    assert 0.85 < np.mean([each.coverage_90 for each in found]) < 0.95
    assert np.mean([each.rank_correlation for each in found]) > 0.3


def test_the_sd_is_that_of_the_function_and_not_of_the_noise(library: list[str], functions: np.ndarray) -> None:
    function, values = functions[0], measured(functions[0], 1.0)
    prediction = GaussianProcess().fit(library[:600], values[:600], 0).predict(library[600:])
    inside = np.abs(function[600:] - prediction.mean) < 1.645 * prediction.sd
    assert 0.8 < inside.mean() <= 1
    assert prediction.noise_sd > prediction.sd.max()


def test_what_it_picks_is_far_better_than_chance(library: list[str]) -> None:
    """Of 90 scored of 900 in batches of 15, the best 20 of all are nearly all there; chance has 2."""
    values = np.array([score.value for score in Similarity(CELECOXIB).values(library)])
    known = list(range(30))
    while len(known) < 90:
        left = np.setdiff1d(np.arange(len(library)), known)
        fitted = GaussianProcess().fit([library[each] for each in known], values[known], seed=0)
        prediction = fitted.predict([library[each] for each in left])
        known += left[np.argsort(-(prediction.mean + 0.3 * prediction.sd))[:15]].tolist()
    assert len(set(np.argsort(-values)[:20]) & set(known)) >= 15


@pytest.mark.parametrize("n", [0, 1, 2, 3, 31, 32, 33])
def test_few_values_are_enough(library: list[str], n: int) -> None:
    values = np.arange(n) / 10 + 5.0
    prediction = GaussianProcess().fit(library[:n], values, seed=0).predict(library[:50])
    assert np.isfinite(prediction.mean).all() and (prediction.sd >= 0).all()
    if n == 0:
        assert prediction.mean.tolist() == [0.0] * 50
        assert prediction.sd.tolist() == [1.0] * 50
    if n == 1:
        assert prediction.mean.tolist() == pytest.approx([5.0] * 50)
        assert prediction.sd[0] < 0.1 < prediction.sd[1:].min()
    if 1 < n < 32:
        assert np.allclose(prediction.mean[:n], values, atol=0.05)


def test_values_that_are_all_the_same_are_predicted_with_some_doubt(library: list[str]) -> None:
    prediction = GaussianProcess().fit(library[:100], np.full(100, 0.25), seed=0).predict(library[90:110])
    assert np.allclose(prediction.mean, 0.25)
    assert prediction.sd[:10].max() < prediction.sd[10:].min()


@pytest.mark.parametrize("noise", [1e-6, 1e-3])
def test_copies_with_different_values_have_their_mean(noise: float) -> None:
    smiles, values = ["CCO"] * 20 + ["c1ccccc1"] * 10, np.array([1.0, 3.0] * 10 + [7.0] * 10)
    prediction = GaussianProcess(noise=noise).fit(smiles, values, seed=0).predict(["CCO", "c1ccccc1"])
    assert prediction.mean.tolist() == pytest.approx([2.0, 7.0], abs=0.01)


def test_800_copies_with_the_least_noise_are_no_singular_matrix(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = Kernel(1.0, 1.0, (1.0,) * 19)
    monkeypatch.setattr(gaussian_process, "_most_likely", lambda *_: (kernel, 1e-6))
    fitted = GaussianProcess().fit(["CCO"] * 800, np.linspace(0, 1, 800), seed=0)
    assert fitted.predict(["CCO"]).mean.tolist() == pytest.approx([0.5])


@pytest.mark.parametrize("factor", [1e-300, 1e-12, 1e12, 1e99])
def test_the_unit_of_the_values_does_not_matter(library: list[str], factor: float) -> None:
    values = np.sin(np.arange(80.0))
    expected = GaussianProcess().fit(library[:80], values, seed=0).predict(library[80:120])
    got = GaussianProcess().fit(library[:80], factor * values, seed=0).predict(library[80:120])
    assert np.allclose(got.mean / factor, expected.mean)
    assert np.allclose(got.sd / factor, expected.sd)


def test_values_at_the_end_of_all_numbers_overflow_nowhere(library: list[str]) -> None:
    values = np.array([-1.7e308, 1.7e308, 0.0, 1e200] * 10)
    prediction = GaussianProcess().fit(library[:40], values, seed=0).predict(library[:60])
    assert np.isfinite(prediction.mean).all()
    assert np.isfinite(prediction.sd).all()
    assert calibration(prediction, np.zeros(60)).rmse > 1e98


FEW = ("C", "CC", "CCO", "c1ccccc1", "Cc1ccccc1", "[Na+].[Cl-]")


@settings(deadline=None, max_examples=60)
@given(
    scored=st.lists(st.tuples(st.sampled_from(FEW), st.floats(allow_nan=False, allow_infinity=False)), max_size=40),
    best=st.integers(1, 5),
    others=st.integers(0, 5),
)
def test_whatever_the_values_are_a_prediction_is_finite(
    scored: list[tuple[str, float]], best: int, others: int
) -> None:
    smiles, values = [text for text, _ in scored], np.array([value for _, value in scored])
    prediction = GaussianProcess(best=best, others=others).fit(smiles, values, seed=0).predict(FEW)
    assert np.isfinite(prediction.mean).all()
    assert np.isfinite(prediction.sd).all() and (prediction.sd >= 0).all()
    assert np.isfinite(prediction.noise_sd)


def test_a_value_far_below_all_others_does_not_hide_their_differences(
    library: list[str], functions: np.ndarray
) -> None:
    values = functions[0]
    failed = values.copy()
    failed[[3, 40]] = -1e6
    asked = library[300:]
    sound, odd = (GaussianProcess().fit(library[:300], each[:300], 0).predict(asked) for each in (values, failed))
    assert calibration(odd, values[300:]).rank_correlation > 0.7 * calibration(sound, values[300:]).rank_correlation
    assert without_outliers(np.linspace(0, 1, 11)).tolist() == np.linspace(0, 1, 11).tolist()
    assert without_outliers(np.array([0.0, 0.0, 0.5, 1.0, -100.0])).tolist() == [0.0, 0.0, 0.5, 1.0, -0.5]
    assert without_outliers(np.ones(3)).tolist() == [1.0] * 3


def test_the_training_set_has_the_best_and_some_of_the_others(library: list[str]) -> None:
    values = np.random.default_rng(0).permutation(len(library)) / 1.0
    model = GaussianProcess(best=50, others=30)
    chosen, others = model._training_set(values, seed=1), model._training_set(values, seed=2)
    assert len(chosen) == len(set(chosen.tolist())) == 80
    assert chosen.tolist() == sorted(chosen)
    best = set(np.argsort(-values)[:50].tolist())
    assert best == set(chosen.tolist()) & set(others.tolist()) & best
    assert chosen.tolist() != others.tolist()
    assert model._training_set(values[:80], seed=1).tolist() == list(range(80))


def test_a_fit_is_a_function_of_its_arguments(library: list[str], functions: np.ndarray) -> None:
    """With everything it remembers thrown away in between, as in a run that is resumed."""
    values = measured(functions[0], 0.1)
    model = GaussianProcess(best=100, others=100)
    first = model.fit(library, values, seed=5).predict(library)
    gaussian_process._most_likely.cache_clear()
    model.fit(library[:100], values[:100], seed=1)
    assert same(GaussianProcess(best=100, others=100).fit(library, values, seed=5).predict(library), first)
    assert not same(model.fit(library, values, seed=6).predict(library), first)


def test_the_noise_is_learnt_at_doublings_only(library: list[str], functions: np.ndarray) -> None:
    values = measured(functions[0], 0.3)
    gaussian_process._most_likely.cache_clear()
    noises = {n: GaussianProcess().fit(library[:n], values[:n], n).posterior.noise for n in range(20, 140, 10)}
    assert gaussian_process._most_likely.cache_info().misses == 3  # at 32, 64 and 128
    assert {noises[n] for n in (20, 30)} == {1e-3}
    assert noises[40] == noises[60] != 1e-3
    assert noises[70] == noises[120]


def test_what_a_score_owes_to_the_whole_molecule_is_learnt(library: list[str], functions: np.ndarray) -> None:
    """A formula, as of isomers; and a function of environments, which gains nothing and loses nothing."""
    nitrogens = np.array([sum(letter in "nN" for letter in text) for text in library], float)
    formula = np.exp(-((nitrogens - 2) ** 2) / 2)
    for values, gains in ((formula, True), (functions[0], False)):
        whole, alone = (
            GaussianProcess(descriptors=given).fit(library[:200], values[:200], 0) for given in (True, False)
        )
        error, without = (calibration(each.predict(library[200:]), values[200:]).rmse for each in (whole, alone))
        assert alone.kernel.environments == 1
        assert (whole.kernel.environments < 1) or not gains
        assert error < (0.8 if gains else 1.15) * without


def test_the_noise_of_many_values_is_learnt_from_some_of_them(library: list[str], functions: np.ndarray) -> None:
    values = measured(functions[0], 0.3)
    smiles, values = (library + library)[:1100], np.concatenate([values, values])[:1100]
    fitted = GaussianProcess().fit(smiles, values, 0)
    spread = GaussianProcess().fit(smiles[:1024:2], values[:1024:2], 0)
    assert fitted.posterior.noise == spread.posterior.noise


THREADS = """
import hashlib, sys
import numpy as np
from molbuffer.scoring import GaussianProcess
smiles = sys.stdin.read().split()
prediction = GaussianProcess().fit(smiles[:500], np.sin(np.arange(500.0)), seed=0).predict(smiles)
print(hashlib.sha256(prediction.mean.tobytes() + prediction.sd.tobytes()).hexdigest())
"""


def test_the_number_of_threads_changes_no_bit(library: list[str]) -> None:
    given = "\n".join(library)
    told = [
        subprocess.run(
            [sys.executable, "-c", THREADS],
            input=given,
            env={**os.environ, "OMP_NUM_THREADS": number, "OPENBLAS_NUM_THREADS": number},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for number in ("1", "2")
    ]
    assert told[0] == told[1] != ""


def test_many_molecules_are_predicted_as_few_are(library: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    fitted = GaussianProcess().fit(library[:50], np.arange(50.0), seed=0)
    whole = fitted.predict(library)
    monkeypatch.setattr(gaussian_process, "BLOCK", 128)
    parts = fitted.predict(library)
    assert np.allclose(whole.mean, parts.mean)
    assert np.allclose(whole.sd, parts.sd)
    assert len(fitted.predict([])) == 0


def test_wrong_arguments_are_refused(library: list[str]) -> None:
    with pytest.raises(ValueError, match=r"2 values are not finite, as inf of "):
        GaussianProcess().fit(library[:3], np.array([0.0, np.inf, np.nan]), seed=0)
    with pytest.raises(ValueError, match=r"expected a value of each of 3 molecules, got values of shape \(2,\)"):
        GaussianProcess().fit(library[:3], np.zeros(2), seed=0)
    with pytest.raises(ValueError, match="'C1' is no molecule"):
        GaussianProcess().fit(["C1"], np.zeros(1), seed=0)
    with pytest.raises(ValueError, match="best: expected greater than or equal to 1, got 0"):
        GaussianProcess(best=0)


def test_molecules_are_known_by_their_counts() -> None:
    """Hexane and octane have the same environments: bits alone would not tell them apart."""
    pair = [count_fingerprint(parse_smiles(text), Fingerprint.MORGAN) for text in ("CCCCCCC", "CCCCCCCCC")]
    assert set(pair[0].GetNonzeroElements()) == set(pair[1].GetNonzeroElements())
    fitted = GaussianProcess().fit(["CCCCCCC", "CCCCCCCCC"], np.array([0.0, 1.0]), seed=0)
    assert np.diff(fitted.predict(["CCCCCCC", "CCCCCCCCC"]).mean) > 0.9
