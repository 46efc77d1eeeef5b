"""The noise and the kernel of a Gaussian process by its marginal likelihood.

With C = K + λ I, where λ is the ratio of the variance of the noise to that of the function, the targets y [n] have the
density N(β 1, s² C). Integrated over a flat prior of β and a prior of s² that weighs as much as ``PRIOR_TARGETS``
targets of variance 1,

    log p(y | λ) = -1/2 log |C| - 1/2 log (1ᵀ C⁻¹ 1) - (n - 1 + ν)/2 log (q + ν) + constant
    q = (y - β 1)ᵀ C⁻¹ (y - β 1)  with  β = 1ᵀ C⁻¹ y / 1ᵀ C⁻¹ 1

(Rasmussen & Williams 2006, sections 2.7 and 5.4). For a given kernel this is a function of λ alone, which takes O(n)
for each λ once the eigenvalues of K are known. So all points of a grid of kernels and noises are tried, without an
iterative optimisation.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]

PRIOR_TARGETS = 4.0
"""ν, the weight of the prior of the amplitude, as a number of targets."""
NOISES: Values = np.logspace(-4, 0, 33)
"""The values of λ that are tried."""


def log_marginal_likelihoods(kernel: Values, targets: Values, noises: Values) -> Values:
    """Return log p(y | λ), float64 [m], up to a constant, for each of m values of λ.

    Args:
        kernel: float64 [n, n], K.
        targets: float64 [n], scaled to a variance of about 1; n is at least 1.
        noises: float64 [m], λ, above 0.
    """
    from scipy.linalg import eigh  # which takes 0.2 s, and only those pay who predict

    eigenvalues, vectors = eigh(kernel, check_finite=False, driver="evd")
    ones, rotated = vectors.sum(axis=0), targets @ vectors
    inverse = 1 / (np.maximum(eigenvalues, 0) + noises[:, None])
    of_ones = inverse @ ones**2
    unexplained = inverse @ rotated**2 - (inverse @ (ones * rotated)) ** 2 / of_ones
    freedom = len(targets) - 1 + PRIOR_TARGETS
    determinant = -np.log(inverse).sum(axis=1)
    found: Values = -0.5 * (determinant + np.log(of_ones) + freedom * np.log(unexplained + PRIOR_TARGETS))
    return found


def most_likely(kernels: Iterable[Values], targets: Values) -> tuple[int, float]:
    """Return the index of the kernel [n, n], and the λ of ``NOISES``, with the largest marginal likelihood.

    Of equally likely ones, the first is returned.
    """
    found = np.array([log_marginal_likelihoods(kernel, targets, NOISES) for kernel in kernels])
    kernel, noise = np.unravel_index(np.argmax(found), found.shape)
    return int(kernel), float(NOISES[noise])
