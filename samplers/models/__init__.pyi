from .condition import UNCONDITIONED, Condition, ConditionKind
from .decoding import DecodingStep, decode
from .distribution import UNTRUNCATED, Sampling
from .gru import GRUArchitecture, GRULanguageModel
from .language_model import LanguageModel
from .lstm import LSTMLanguageModel
from .posterior import Posterior
from .protocol import GenerativeModel, LatentModel, Sequences
from .registry import MODELS, check_sizes
from .seq2seq import Seq2SeqModel
from .transformer import TransformerLanguageModel
from .vae_gru import VAE
from .von_mises_fisher import log_normaliser, sample_directions

__all__ = [
    "MODELS",
    "UNCONDITIONED",
    "UNTRUNCATED",
    "VAE",
    "Condition",
    "ConditionKind",
    "DecodingStep",
    "GRUArchitecture",
    "GRULanguageModel",
    "GenerativeModel",
    "LSTMLanguageModel",
    "LanguageModel",
    "LatentModel",
    "Posterior",
    "Sampling",
    "Seq2SeqModel",
    "Sequences",
    "TransformerLanguageModel",
    "check_sizes",
    "decode",
    "log_normaliser",
    "sample_directions",
]
