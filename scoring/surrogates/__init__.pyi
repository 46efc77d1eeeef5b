from .acquisitions import ExpectedImprovement, Greedy, ThompsonSampling, UpperConfidenceBound
from .base import ACQUISITIONS, SURROGATES, Acquisition, FittedSurrogate, Picks, Prediction, Surrogate
from .gaussian_process import GaussianProcess
from .reliability import Calibration, calibration, inflation

__all__ = [
    "ACQUISITIONS",
    "SURROGATES",
    "Acquisition",
    "Calibration",
    "ExpectedImprovement",
    "FittedSurrogate",
    "GaussianProcess",
    "Greedy",
    "Picks",
    "Prediction",
    "Surrogate",
    "ThompsonSampling",
    "UpperConfidenceBound",
    "calibration",
    "inflation",
]
