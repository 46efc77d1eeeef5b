from .autoencoders.posterior import Posterior
from .autoencoders.vae_gru import VAE
from .autoencoders.von_mises_fisher import log_normaliser, sample_directions
from .checked_model import draw_sequences, likelihoods
from .condition import UNCONDITIONED, Condition, ConditionKind
from .decoding import DecodingStep, decode, tokens_before
from .distribution import UNTRUNCATED, Sampling
from .gru import GRUArchitecture, GRULanguageModel
from .huggingface.conversion import convert_folder
from .huggingface.folder import check_folder, check_safetensors, is_huggingface, read_json
from .language_model import LanguageModel
from .lstm import LSTMLanguageModel
from .protocol import GenerativeModel, LatentModel, Sequences
from .recurrent.drawn_states import DrawnStates, keeping
from .recurrent.products import Precision, has_bfloat16, products_in
from .registry import MODELS, ModelKind, check_new_model, check_sizes
from .seq2seq import Seq2SeqModel
from .transformer import TransformerLanguageModel

__all__ = [
    "MODELS",
    "UNCONDITIONED",
    "UNTRUNCATED",
    "VAE",
    "Condition",
    "ConditionKind",
    "DecodingStep",
    "DrawnStates",
    "GRUArchitecture",
    "GRULanguageModel",
    "GenerativeModel",
    "LSTMLanguageModel",
    "LanguageModel",
    "LatentModel",
    "ModelKind",
    "Posterior",
    "Precision",
    "Sampling",
    "Seq2SeqModel",
    "Sequences",
    "TransformerLanguageModel",
    "check_folder",
    "check_new_model",
    "check_safetensors",
    "check_sizes",
    "convert_folder",
    "decode",
    "draw_sequences",
    "has_bfloat16",
    "is_huggingface",
    "keeping",
    "likelihoods",
    "log_normaliser",
    "products_in",
    "read_json",
    "sample_directions",
    "tokens_before",
]
