from .decoding import DecodedLatents
from .priors import LatentPrior
from .source import LatentTable

__all__ = [
    "DecodedLatents",
    "LatentPrior",
    "LatentTable",
]
