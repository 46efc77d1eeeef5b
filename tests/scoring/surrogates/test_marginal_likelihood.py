"""The marginal likelihood of the noise: that of the formula, and its maximum where the noise is."""

import numpy as np
import pytest
from scipy.stats import multivariate_t

from molbuffer.scoring.surrogates.count_levels import level_bits, similarities
from molbuffer.scoring.surrogates.marginal_likelihood import (
    NOISES,
    PRIOR_TARGETS,
    log_marginal_likelihoods,
    most_likely,
)
from molbuffer.scoring.surrogates.one_thread import one_thread


@pytest.fixture(scope="module")
def kernel(library: list[str]) -> np.ndarray:
    bits = level_bits(library[:300], radius=2)
    return similarities(bits, bits)


def found(kernel: np.ndarray, functions: np.ndarray, noise: float) -> float:
    """The middle of the most likely noises of functions with noise."""
    measured = functions[:, :300] + np.sqrt(noise) * np.random.default_rng(0).standard_normal((len(functions), 300))
    with one_thread():
        return float(np.median([most_likely([kernel], each)[1] for each in measured]))


def test_it_is_the_density_of_the_targets(kernel: np.ndarray, functions: np.ndarray) -> None:
    """A prior of the amplitude makes a t distribution, here of the 24 contrasts of 25 targets, which have no mean."""
    few, targets, noises = kernel[:25, :25], functions[0, :25] + 0.7, np.array([1e-3, 0.03, 0.4])
    contrasts = np.linalg.qr(np.column_stack([np.ones(25), np.eye(25)[:, 1:]]))[0][:, 1:].T
    expected = [
        multivariate_t(np.zeros(24), contrasts @ (few + noise * np.eye(25)) @ contrasts.T, df=PRIOR_TARGETS).logpdf(
            contrasts @ targets
        )
        for noise in noises
    ]
    got = log_marginal_likelihoods(few, targets, noises)
    assert np.allclose(got - got[0], np.array(expected) - expected[0], atol=1e-6)


@pytest.mark.parametrize("noise", [0.1, 0.5])
def test_the_most_likely_noise_is_that_of_the_targets(kernel: np.ndarray, functions: np.ndarray, noise: float) -> None:
    assert noise / 3 < found(kernel, functions, noise) < noise * 3


def test_the_most_likely_kernel_is_that_of_the_targets(kernel: np.ndarray, functions: np.ndarray) -> None:
    other = np.exp(-np.square(np.subtract.outer(np.arange(300.0), np.arange(300.0))) / 200)
    factor = np.linalg.cholesky(other + 1e-8 * np.eye(300))
    targets = factor @ np.random.default_rng(2).standard_normal(300)
    with one_thread():
        assert most_likely([kernel, other], functions[0, :300])[0] == 0
        assert most_likely([kernel, other], targets)[0] == 1
        assert most_likely([other, other], targets)[0] == 0, "the first of equal ones"


def test_a_function_without_noise_has_little(kernel: np.ndarray, functions: np.ndarray) -> None:
    assert found(kernel, functions, 0) < 0.05


def test_noise_alone_is_much_noise(kernel: np.ndarray) -> None:
    assert found(kernel, np.zeros((1, 300)), 1.0) == NOISES[-1]


def test_targets_that_are_all_the_same_have_a_likelihood(kernel: np.ndarray) -> None:
    assert np.isfinite(log_marginal_likelihoods(kernel, np.zeros(len(kernel)), NOISES)).all()
    assert np.isfinite(log_marginal_likelihoods(np.ones((1, 1)), np.zeros(1), NOISES)).all()
    copies = np.ones((50, 50))
    assert np.isfinite(log_marginal_likelihoods(copies, np.linspace(-1, 1, 50), NOISES)).all()
