"""A causal language model of the library ``transformers`` as a model of this package.

The library builds the network only from its config: it is never given a name on the hub, and no code comes with a
model. Draws use this package's decoding loop with the library's cache of keys and values. A token has an id in the
vocabulary of this package, and an id in the network, which ``ids`` has. The logits of all other ids of the network,
such as those of special tokens, are left out, so that probabilities sum to 1 over the vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from molbuffer.samplers.errors import ConditionError, MissingExtraError
from molbuffer.samplers.models.attention.transformer_block import FULLEST
from molbuffer.samplers.models.decoding import DecodingStep, tokens_before
from molbuffer.samplers.models.huggingface.folder import checked_config
from molbuffer.samplers.models.language_model import LanguageModel

if TYPE_CHECKING:
    from types import ModuleType


@dataclass(frozen=True)
class HuggingFaceArchitecture:
    """The config of a Hugging Face model, and its tokens.

    Attributes:
        vocabulary_size: tokens of the vocabulary of this package, reserved ones included.
        config: the content of a ``config.json``, with its ``model_type``.
        ids: the network's id of each token [vocabulary_size]; START and END may have the same.
        max_length: the largest number of tokens of a drawn sequence, END included.
        positions: the largest number of tokens of any sequence, END included, that the network has positions for.
    """

    vocabulary_size: int
    config: Mapping[str, Any]
    ids: Sequence[int]
    max_length: int
    positions: int

    def __post_init__(self) -> None:
        if len(self.ids) != self.vocabulary_size:
            raise ValueError(f"expected an id for each of {self.vocabulary_size} tokens, got {len(self.ids)} ids")
        if not 1 <= self.max_length <= self.positions:
            raise ValueError(f"expected max_length in [1, {self.positions}], got {self.max_length}")


class HuggingFaceLanguageModel(LanguageModel):
    """A decoder of the library ``transformers`` with plain attention."""

    kind = "huggingface"
    sizes: HuggingFaceArchitecture
    ids: Tensor

    def __init__(self, sizes: HuggingFaceArchitecture) -> None:
        """Build the network with random weights.

        Raises:
            MissingExtraError: the library is not installed.
            PolicyFormatError: the config is refused.
            ValueError: the library cannot build the network, or it has no embedding for an id.
        """
        super().__init__(sizes)
        self.network = build_network(sizes.config)
        embeddings = self.network.get_input_embeddings().weight.shape[0]
        if not 0 <= min(sizes.ids) <= max(sizes.ids) < embeddings:
            raise ValueError(f"expected ids of tokens in [0, {embeddings}), got {min(sizes.ids)} to {max(sizes.ids)}")
        self.register_buffer("ids", torch.tensor(sizes.ids, device="cpu"), persistent=False)
        # Safetensors cannot store a tensor under two names, such as an embedding that is also the head.
        self.register_state_dict_post_hook(_without_aliases)  # type: ignore[no-untyped-call]
        self.register_load_state_dict_pre_hook(_with_aliases)  # type: ignore[no-untyped-call]

    def logits(self, tokens: Tensor) -> Tensor:
        """Return the next-token logits [n, L, V] before each token of [n, L].

        Raises:
            ConditionError: the network has no position for the last tokens.
        """
        if tokens.shape[1] > self.sizes.positions:
            raise ConditionError(f"expected rows of at most {self.sizes.positions} tokens, got {tokens.shape[1]}")
        every = self.network(input_ids=self.ids[tokens_before(tokens)], use_cache=False).logits
        logits: Tensor = every[..., self.ids].float() + self.impossible
        return logits

    def step(self, n: int, device: torch.device) -> DecodingStep:
        return _Step(self, n)

    def _apply(self, fn: Any, recurse: bool = True) -> HuggingFaceLanguageModel:
        # Moving a module to some devices makes new parameters: a parameter with two names would become two.
        aliases = _aliases(self)
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        for name, first in aliases.items():
            owner, _, attribute = name.rpartition(".")
            setattr(self.get_submodule(owner), attribute, self.get_parameter(first))
        return self


class _Step:
    """One step of the network for a batch, with the keys and values of earlier tokens in the library's cache."""

    def __init__(self, model: HuggingFaceLanguageModel, n: int) -> None:
        self._model = model
        self._cache = transformers().DynamicCache(config=model.network.config)
        self._rows = n
        self._growing: Tensor | None = None
        """The rows of the cache that still grow; None for all."""

    def __call__(self, tokens: Tensor) -> Tensor:
        """Return the logits [m, V] after tokens [m]."""
        model, given = self._model, tokens
        if self._growing is not None:
            # Rows that have ended are computed, too: to leave them out, the cache would be copied at every step.
            given = tokens.new_zeros(self._rows)
            given[self._growing] = tokens
        every = model.network(input_ids=model.ids[given][:, None], cache=self._cache, use_cache=True).logits[:, -1]
        if self._growing is not None:
            every = every[self._growing]
        logits: Tensor = every[:, model.ids].float() + model.impossible
        return logits

    def keep(self, rows: Tensor) -> None:
        growing = rows.nonzero()[:, 0] if self._growing is None else self._growing[rows]
        self._growing = growing
        if len(growing) <= FULLEST * self._rows:
            self._cache.batch_select_indices(growing)
            self._rows, self._growing = len(growing), None


def transformers() -> ModuleType:
    """Return the library.

    Raises:
        MissingExtraError: the library is not installed.
    """
    try:
        import transformers
    except ImportError as error:
        raise MissingExtraError("a policy of kind 'huggingface'", "transformers") from error
    module: ModuleType = transformers
    return module


def library_config(config: Mapping[str, Any]) -> Any:
    """Return the library's own config of a checked ``config.json``.

    Raises:
        PolicyFormatError: the config is refused.
        ValueError: the library cannot read it.
    """
    known = checked_config(config)
    kind = known.pop("model_type")
    try:
        return transformers().CONFIG_MAPPING[kind](**known)
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise ValueError(f"the config of the {kind} cannot be read: {error}") from error


def build_network(config: Mapping[str, Any]) -> Any:
    """Build a network with random weights in float32, from torch's global generator."""
    library = transformers()
    return library.AutoModelForCausalLM.from_config(library_config(config), dtype=torch.float32)


def _aliases(module: nn.Module) -> dict[str, str]:
    """Return the first name of each tensor of a module by the further names of the tensor."""
    first: dict[int, str] = {}
    found: dict[str, str] = {}
    for name, parameter in module.named_parameters(remove_duplicate=False):
        if (known := first.setdefault(id(parameter), name)) != name:
            found[name] = known
    return found


def _without_aliases(module: nn.Module, state: dict[str, Any], prefix: str, _metadata: Any) -> None:
    for name in _aliases(module):
        del state[prefix + name]


def _with_aliases(module: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    for name, first in _aliases(module).items():
        if prefix + first in state:
            state.setdefault(prefix + name, state[prefix + first])
