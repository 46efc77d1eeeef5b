from .decoding import DecodedLatents
from .initial import learnt_prior, learnt_vectors, new_prior, stored_latents, table_for
from .lineage import latent_relatives
from .priors import LatentPrior
from .source import LatentState, LatentTable
from .vectors import best_latents, best_molecules, encode_molecules, latent_model, read_vectors

__all__ = [
    "DecodedLatents",
    "LatentPrior",
    "LatentState",
    "LatentTable",
    "best_latents",
    "best_molecules",
    "encode_molecules",
    "latent_model",
    "latent_relatives",
    "learnt_prior",
    "learnt_vectors",
    "new_prior",
    "read_vectors",
    "stored_latents",
    "table_for",
]
