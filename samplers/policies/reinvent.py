"""Conversion of priors of REINVENT 4 (Loeffler et al. 2024, doi:10.1186/s13321-024-00812-5) to policies, and back.

REINVENT begins a sequence with the token '^', ends it with '$', and includes both in the softmax. Here END has the
weights of '$' and START has the embedding of '^'; '^' is an ordinary token, too, with its logit of REINVENT. Both
models then give every sequence the same probability.

Two differences are intended. The likelihood of a batch in REINVENT includes the probabilities of '$' after '$' for all
but the longest row; here it ends with the first '$'. With layer normalisation, REINVENT draws from outputs that are
normalised at each token, but computes likelihoods from outputs that are normalised over the whole sequence, so that
they belong to no distribution; here likelihoods are those of the distribution that rows are drawn from.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from molbuffer.samplers.errors import PolicyFormatError, UnknownTokenError
from molbuffer.samplers.models import MODELS, GenerativeModel
from molbuffer.samplers.policies.policy import Policy
from molbuffer.samplers.policies.reinvent_file import MODEL_TYPE, read_reinvent_file, weights_of
from molbuffer.samplers.tokens import END, PAD, RESERVED, START, Vocabulary

FIRST, LAST = "^", "$"
GATES = {3: "gru", 4: "lstm"}
"""The kind of a recurrent layer by its number of gates."""
LONGEST = 10_000
"""The largest sequence length that a file may have."""
NEVER = -1e4
"""A finite logit whose probability is exactly 0; unlike -inf, it cannot make a NaN."""
EXPORTED_KINDS = ("gru", "lstm")


@dataclass(frozen=True)
class ReinventPrior:
    """An imported model of REINVENT.

    Attributes:
        model: the model.
        vocabulary: the vocabulary of the model.
        file_sha256: the sha256 of the imported file.
        origin: the file's metadata on the origin of the model.
    """

    model: GenerativeModel
    vocabulary: Vocabulary
    file_sha256: str
    origin: Mapping[str, Any]

    @property
    def only_drawn(self) -> list[str]:
        """The tokens that the model can draw, but into which the grammar splits no SMILES string."""
        return [token for token in self.vocabulary.tokens[len(RESERVED) :] if not self._is_read(token)]

    def _is_read(self, token: str) -> bool:
        try:
            return self.vocabulary.grammar.split(token) == [token]
        except UnknownTokenError:
            return False


def read_reinvent_prior(path: Path) -> ReinventPrior:
    """Read the model of a ``.prior`` or ``.model`` file.

    Raises:
        PolicyFormatError: the file is damaged, would execute code, or has a model of an unknown architecture.
        OSError: the file does not exist, or cannot be read.
    """
    # The file is read once, so that the hash is that of the imported bytes.
    content = path.read_bytes()
    saved = read_reinvent_file(content, path)
    weights = weights_of(saved, path, len(content))
    try:
        tokens = _tokens(saved["vocabulary"])
        vocabulary = Vocabulary((*RESERVED, *(token for token in tokens if token != LAST)))
        kind, sizes = _architecture(weights, saved, len(tokens))
        model = MODELS[kind].make({**sizes, "vocabulary_size": len(vocabulary)})
        model.load_state_dict(_our_weights(weights, tokens, vocabulary))
    except KeyError as error:
        raise PolicyFormatError(f"{path} does not hold a model that can be built: it lacks {error}") from error
    except (TypeError, ValueError, IndexError, RuntimeError) as error:
        raise PolicyFormatError(f"{path} does not hold a model that can be built: {error}") from error
    model.eval()
    return ReinventPrior(model, vocabulary, hashlib.sha256(content).hexdigest(), _origin(saved))


def write_reinvent_prior(policy: Policy, path: Path) -> None:
    """Write a file for REINVENT 4 that has only tensors and plain values.

    Raises:
        PolicyFormatError: REINVENT has no such model.
    """
    sizes = policy.model.architecture()
    if policy.kind not in EXPORTED_KINDS or policy.vocabulary.grammar.name != "smiles" or sizes.get("layer_norm"):
        raise PolicyFormatError(
            f"REINVENT has {' and '.join(EXPORTED_KINDS)} models of SMILES without layer normalisation; this policy is "
            f"a {policy.kind} of {policy.vocabulary.grammar.name}"
        )
    ours = {name: weight.detach().cpu() for name, weight in policy.model.state_dict().items()}
    ordinary = [token for token in policy.vocabulary.tokens[len(RESERVED) :] if token != FIRST]
    ids = [policy.vocabulary.ids[token] for token in ordinary]
    # After training, the START of an imported policy differs from the '^' of its vocabulary.
    caret = policy.vocabulary.ids.get(FIRST)
    head, bias = (ours[f"head.{part}"][[END, caret or PAD, *ids]] for part in ("weight", "bias"))
    if caret is None:
        head[1], bias[1] = 0.0, NEVER
    network = {"_embedding.weight": ours["embedding.weight"][[END, START, *ids]]}
    network |= {name.replace("recurrent.", "_rnn."): w for name, w in ours.items() if name.startswith("recurrent.")}
    network |= {"_linear.weight": head, "_linear.bias": bias}
    tokens = {token: i for i, token in enumerate((LAST, FIRST, *ordinary))}
    saved = {
        "model_type": MODEL_TYPE,
        "version": 1,
        "vocabulary": {"tokens": tokens, "pad_token": 0, "bos_token": 1, "eos_token": 0, "unk_token": None},
        # The sequences of REINVENT include the '^'.
        "max_sequence_length": sizes["max_length"] + 1,
        "network": network,
        "network_params": {
            "dropout": sizes["dropout"],
            "layer_size": sizes["hidden_size"],
            "num_layers": sizes["layers"],
            "cell_type": policy.kind,
            "embedding_layer_size": sizes["embedding_size"],
            "layer_normalization": False,
        },
    }
    torch.save(saved, path)


def _tokens(saved: Any) -> list[str]:
    """Return the tokens of a vocabulary by id; it is a dictionary in newer files and an object in older files."""
    known = saved.get("tokens") if isinstance(saved, Mapping) else getattr(saved, "_tokens", None)
    if not isinstance(known, Mapping):
        raise ValueError("the vocabulary has no tokens")
    # The object maps tokens to ids and ids to tokens.
    ids = {token: int(i) for token, i in known.items() if isinstance(token, str)}
    if sorted(ids.values()) != list(range(len(ids))):
        raise ValueError(f"the ids of the {len(ids)} tokens are not 0 to {len(ids) - 1}")
    if missing := {FIRST, LAST} - ids.keys():
        raise ValueError(f"the vocabulary lacks {', '.join(sorted(missing))}")
    return sorted(ids, key=lambda token: ids[token])


def _architecture(weights: Mapping[str, Tensor], saved: Mapping[str, Any], n_tokens: int) -> tuple[str, dict[str, Any]]:
    """Return the kind and sizes of a network by the shapes of its weights, since not every file states them."""
    rows, embedding_size = weights["_embedding.weight"].shape
    if rows != n_tokens:
        raise ValueError(f"{n_tokens} tokens have {rows} embeddings")
    states = [weight for name, weight in weights.items() if name.startswith("_rnn.weight_hh_l")]
    width, hidden_size = weights["_rnn.weight_hh_l0"].shape
    if not hidden_size or width % hidden_size or any(weight.shape != (width, hidden_size) for weight in states):
        raise ValueError(f"the layers of states are of shapes {[tuple(weight.shape) for weight in states]}")
    kind = GATES[width // hidden_size]
    parameters = saved.get("network_params") or {}
    if not isinstance(parameters, Mapping):
        raise ValueError(f"expected network_params by name, got {type(parameters).__name__}")
    length = saved["max_sequence_length"]
    if not isinstance(length, int) or not 2 <= length <= LONGEST:
        raise ValueError(f"expected max_sequence_length to be from 2 to {LONGEST}, got {length!r}")
    sizes = {
        "embedding_size": embedding_size,
        "hidden_size": hidden_size,
        "layers": len(states),
        "dropout": float(parameters.get("dropout", 0.0)),
        "max_length": length - 1,
    }
    if parameters.get("layer_normalization"):
        if kind != "lstm":
            raise ValueError(f"it is a {kind} with layer normalisation, which only the lstm here can have")
        sizes["layer_norm"] = True
    if not (0 <= sizes["dropout"] < 1 and math.isfinite(sizes["dropout"])):
        raise ValueError(f"expected dropout in [0, 1), got {sizes['dropout']}")
    return kind, sizes


def _our_weights(weights: Mapping[str, Tensor], tokens: list[str], vocabulary: Vocabulary) -> dict[str, Tensor]:
    """Return the weights with one row for each token of the imported vocabulary."""
    first, last = tokens.index(FIRST), tokens.index(LAST)
    theirs = [first, first, last, *(tokens.index(token) for token in vocabulary.tokens[len(RESERVED) :])]
    ours = {
        "embedding.weight": weights["_embedding.weight"][theirs],
        "head.weight": weights["_linear.weight"][theirs],
        "head.bias": weights["_linear.bias"][theirs],
    }
    # PAD is never read, and neither PAD nor START is ever drawn.
    ours["embedding.weight"][PAD] = 0
    for name in ("head.weight", "head.bias"):
        ours[name][[PAD, START]] = 0
    known = {"_embedding.weight", "_linear.weight", "_linear.bias"}
    return ours | {name.replace("_rnn.", "recurrent."): w for name, w in weights.items() if name not in known}


def _origin(saved: Mapping[str, Any]) -> dict[str, Any]:
    """Return the metadata of a file, as far as they are text, numbers or lists."""
    metadata = saved.get("metadata")
    values = metadata if isinstance(metadata, Mapping) else vars(metadata) if hasattr(metadata, "__dict__") else {}
    names = {"origina_data_source": "data_source", "creation_date": "created", "comments": "comments"}
    known = {ours: values.get(theirs) for theirs, ours in names.items()}
    return {name: value for name, value in known.items() if isinstance(value, str | float | list) and value}
