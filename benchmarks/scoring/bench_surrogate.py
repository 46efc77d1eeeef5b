"""Time a Gaussian process for screening, in learning noise and kernel, fitting and predicting, compared with GPyTorch.

    python benchmarks/scoring/bench_surrogate.py [--known 800] [--candidates 256] [--rounds 3]

"molbuffer" is the default model of screening, which also chooses among 13 kernels. "same kernel" has the kernel of
GPyTorch, on atom environments alone, and reuses the features of the line above. All use one thread. GPyTorch learns
amplitude, mean and noise by 50 steps of Adam, as in its documentation, and its fit and prediction are exact. GPyTorch
gets the fingerprint bits; molbuffer must compute its features: those of the known molecules while it learns, and those
of the candidates in its first prediction. The rank correlation is between predictions and scores of the candidates.
"""

from __future__ import annotations

import argparse
import importlib.util
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from molbuffer.scoring import (
    Breeding,
    GaussianProcess,
    Prediction,
    calibration,
    canonical_smiles,
    children,
    parse_smiles,
)
from molbuffer.scoring.components import Similarity
from molbuffer.scoring.surrogates.count_levels import level_bits
from molbuffer.scoring.surrogates.gaussian_process import Scale

Values = NDArray[np.float64]
Result = TypeVar("Result")

DRUGS = Path(__file__).parents[2] / "tests/data/molecules.smi"
TARGET = "Cc1ccc(-c2cc(C(F)(F)F)nn2-c2ccc(S(N)(=O)=O)cc2)cc1"
PEER = "gpytorch"
STEPS = 50


@dataclass(frozen=True)
class Times:
    """The seconds to learn the noise, to fit with known noise, and to predict; and the predictions."""

    learn: float
    fit: float
    predict: float
    prediction: Prediction


@dataclass(frozen=True)
class Work:
    """Molecules with scores, and candidates without scores."""

    known: list[str]
    values: Values
    candidates: list[str]


def make_work(known: int, candidates: int) -> tuple[Work, Values]:
    """Return children of drugs as the work, and the candidates' scores, which are similarities to celecoxib."""
    drugs = [canonical_smiles(parse_smiles(line.split()[0])) for line in DRUGS.read_text().splitlines()]
    rng = np.random.default_rng(0)
    found = list(children(drugs, np.full(len(drugs), 1 / len(drugs)), known + candidates, rng, Breeding()))
    values = np.array([score.value for score in Similarity(TARGET).values(found)])
    return Work(found[:known], values[:known], found[known:]), values[known:]


def ours(work: Work, descriptors: bool) -> Times:
    """Return the times of molbuffer's Gaussian process; the first step that needs a feature also computes it."""
    model = GaussianProcess(descriptors=descriptors)
    first, _ = _timed(lambda: model.fit(work.known, work.values, seed=0))
    fit, fitted = _timed(lambda: model.fit(work.known, work.values, seed=0))
    predict, prediction = _timed(lambda: fitted.predict(work.candidates))
    return Times(max(0.0, first - fit), fit, predict, prediction)


def gpytorch_times(work: Work) -> Times:
    """Return the times of GPyTorch's exact Gaussian process."""
    import gpytorch
    import torch

    class Tanimoto(gpytorch.kernels.Kernel):
        def forward(self, a: Any, b: Any, diag: bool = False, **_: Any) -> Any:
            if diag:
                return torch.ones(len(a), dtype=a.dtype)
            common = a @ b.T
            return common / (a.sum(-1, keepdim=True) + b.sum(-1, keepdim=True).T - common)

    class Process(gpytorch.models.ExactGP):
        def __init__(self, x: Any, y: Any, likelihood: Any) -> None:
            super().__init__(x, y, likelihood)
            self.mean, self.kernel = gpytorch.means.ConstantMean(), gpytorch.kernels.ScaleKernel(Tanimoto())

        def forward(self, x: Any) -> Any:
            return gpytorch.distributions.MultivariateNormal(self.mean(x), self.kernel(x))

    torch.set_num_threads(1)
    scale = Scale.of(work.values)
    x, new = (torch.tensor(level_bits(each, 2), dtype=torch.float64) for each in (work.known, work.candidates))
    y = torch.tensor(scale.scaled(work.values))
    at_least = gpytorch.constraints.GreaterThan(1e-4)
    likelihood = gpytorch.likelihoods.GaussianLikelihood(noise_constraint=at_least).double()
    model = Process(x, y, likelihood).double()

    def learn() -> None:
        model.train(), likelihood.train()
        optimiser = torch.optim.Adam(model.parameters(), lr=0.1)
        log_likelihood = gpytorch.mlls.ExactMarginalLogLikelihood(likelihood, model)
        for _ in range(STEPS):
            optimiser.zero_grad()
            (-log_likelihood(model(x), y)).backward()
            optimiser.step()
        model.eval(), likelihood.eval()

    def predict(at: Any) -> Prediction:
        with torch.no_grad(), gpytorch.settings.fast_computations(False, False, False):
            found = model(at)
            sd = found.variance.sqrt().numpy()
        return Prediction(scale.mean + scale.sd * found.mean.numpy(), scale.sd * sd)

    learning, _ = _timed(learn)
    fit, _ = _timed(lambda: predict(new[:1]))  # what it keeps for all further predictions is made by the first
    predicting, prediction = _timed(lambda: predict(new))
    return Times(learning, fit, predicting, prediction)


def _timed(work: Callable[[], Result]) -> tuple[float, Result]:
    started = time.perf_counter()
    result = work()
    return time.perf_counter() - started, result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--known", type=int, default=800)
    parser.add_argument("--candidates", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    work, values = make_work(given.known, given.candidates)
    print(f"{len(work.known)} known, {len(work.candidates)} candidates, seconds, the least of {given.rounds}")
    print(f"{'':<13}{'learn':>9}{'fit':>9}{'predict':>9}{'rank correlation':>19}")
    peers: dict[str, Callable[[Work], Times]] = {
        "molbuffer": partial(ours, descriptors=True),
        "same kernel": partial(ours, descriptors=False),
    }
    if importlib.util.find_spec(PEER):
        peers["GPyTorch"] = gpytorch_times
    for name, measure in peers.items():
        times = [measure(work) for _ in range(given.rounds)]
        # Ours remembers what it has learnt, and features: only the first round has to make them.
        whole = times if measure is gpytorch_times else times[:1]
        learn, predict = (min(getattr(each, step) for each in whole) for step in ("learn", "predict"))
        fit = min(each.fit for each in times)
        ranks = calibration(times[0].prediction, values).rank_correlation
        print(f"{name:<13}{learn:>9.3f}{fit:>9.3f}{predict:>9.3f}{ranks or 0:>19.3f}")
    if "GPyTorch" not in peers:
        print("GPyTorch     not compared: it is not installed; pip install 'molbuffer[bench]'")


if __name__ == "__main__":
    main()
