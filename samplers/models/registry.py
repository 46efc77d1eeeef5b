"""The model architectures by the kind under which their policies are stored."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

from molbuffer.kinds import Family
from molbuffer.samplers.errors import ModelSizeError, UnknownModelKindError
from molbuffer.samplers.models.autoencoders.vae import VAEArchitecture
from molbuffer.samplers.models.autoencoders.vae_gru import VAE
from molbuffer.samplers.models.autoencoders.vae_transformer import TransformerVAE
from molbuffer.samplers.models.condition import ConditionKind
from molbuffer.samplers.models.gru import GRUArchitecture, GRULanguageModel
from molbuffer.samplers.models.huggingface.language_model import HuggingFaceArchitecture, HuggingFaceLanguageModel
from molbuffer.samplers.models.lstm import LSTMArchitecture, LSTMLanguageModel
from molbuffer.samplers.models.protocol import GenerativeModel
from molbuffer.samplers.models.seq2seq import Seq2SeqArchitecture, Seq2SeqModel
from molbuffer.samplers.models.transformer import TransformerArchitecture, TransformerLanguageModel

GIVEN_SIZES = ("vocabulary_size", "max_length")
"""The sizes that follow from the training data."""


@dataclass(frozen=True)
class ModelKind:
    """The architecture and the class of one kind of model.

    Attributes:
        architecture: the dataclass of sizes, among them ``vocabulary_size`` and ``max_length``.
        build: a function of the sizes that makes a model with random weights from torch's global generator.
        condition: the kind of condition of the model's sequences.
        converted: whether models of the kind are only made from files of other programs, so that none of its sizes can
            be chosen.
    """

    architecture: type[Any]
    build: Callable[[Any], GenerativeModel]
    condition: ConditionKind = ConditionKind.NOTHING
    converted: bool = False

    @property
    def learns_pairs(self) -> bool:
        """Whether the model is trained on pairs of a source and a target, not on molecules."""
        return self.condition is ConditionKind.SOURCES

    def make(self, sizes: Mapping[str, Any]) -> GenerativeModel:
        """Return a model of these sizes with random weights.

        Raises:
            TypeError: a size is missing, or the architecture has no size of that name.
            ValueError: the sizes are inconsistent.
        """
        return self.build(self.architecture(**sizes))

    @property
    def choices(self) -> dict[str, Any]:
        """The sizes that a user may choose, with their defaults."""
        if self.converted:
            return {}
        return {field.name: field.default for field in fields(self.architecture) if field.name not in GIVEN_SIZES}


_VAES: Mapping[str, Callable[[VAEArchitecture], GenerativeModel]] = {"gru": VAE, "transformer": TransformerVAE}
"""The autoencoder of each of ``vae.ARCHITECTURES``."""

GRU = ModelKind(GRUArchitecture, GRULanguageModel)
HUGGINGFACE = ModelKind(HuggingFaceArchitecture, HuggingFaceLanguageModel, converted=True)
LSTM = ModelKind(LSTMArchitecture, LSTMLanguageModel)
SEQ2SEQ = ModelKind(Seq2SeqArchitecture, Seq2SeqModel, ConditionKind.SOURCES)
TRANSFORMER = ModelKind(TransformerArchitecture, TransformerLanguageModel)
AUTOENCODER = ModelKind(VAEArchitecture, lambda sizes: _VAES[sizes.architecture](sizes), ConditionKind.LATENTS)


def _as_model(found: Any) -> ModelKind:
    """Return the kind of a class of models, whose attribute ``Sizes`` is the dataclass of its sizes."""
    if isinstance(found, ModelKind):
        return found
    if not (isinstance(found, type) and issubclass(found, GenerativeModel)):
        raise TypeError(f"expected a subclass of molbuffer.samplers.models.GenerativeModel, got {found!r}")
    sizes: Any = getattr(found, "Sizes", None)
    named = {field.name for field in fields(sizes)} if isinstance(sizes, type) and is_dataclass(sizes) else set()
    if not named >= set(GIVEN_SIZES):
        raise TypeError(f"expected a dataclass {found.__name__}.Sizes with the fields {', '.join(GIVEN_SIZES)}")
    return ModelKind(sizes, found, found.condition_kind)


MODELS = Family("models", _as_model)
"""The kinds of models; the config of a stored policy names one."""


def check_new_model(kind: str, sizes: Mapping[str, Any]) -> None:
    """Refuse a model with random weights that cannot be made; the errors are those of ``check_sizes``."""
    if kind not in MODELS:
        made = sorted(name for name, each in MODELS.usable().items() if not each.converted)
        raise UnknownModelKindError(f"unknown model kind {kind!r}; expected one of: {', '.join(made)}")
    check_sizes(kind, sizes)
    if MODELS[kind].converted:
        raise ModelSizeError(
            f"a model of kind {kind!r} cannot be made with random weights: make and save one with its own library, and "
            "start from its folder"
        )


def check_sizes(kind: str, sizes: Mapping[str, Any]) -> None:
    """Refuse sizes that a model of a kind cannot have.

    Raises:
        UnknownModelKindError: no model is of this kind.
        ModelSizeError: the kind has no such size, a size has another type or is out of range, or the sizes are
            inconsistent.
    """
    if kind not in MODELS:
        raise UnknownModelKindError(f"unknown model kind {kind!r}; expected one of: {', '.join(sorted(MODELS))}")
    choices = MODELS[kind].choices
    for name, value in sizes.items():
        if name not in choices:
            raise ModelSizeError(f"the model {kind!r} has no {name}; its sizes are: {', '.join(choices) or 'fixed'}")
        expected = type(choices[name])
        if type(value) is not expected and not (expected is float and type(value) is int):
            raise ModelSizeError(f"expected {name} of {kind!r} to be of type {expected.__name__}, got {value!r}")
        lowest, below = (1, math.inf) if expected is int else (0, 1 if name.endswith("dropout") else math.inf)
        if expected in (int, float) and not lowest <= value < below:
            raise ModelSizeError(f"expected {name} of {kind!r} to be in [{lowest}, {below}), got {value}")
    if MODELS[kind].converted:
        return
    try:
        MODELS[kind].architecture(**{**dict.fromkeys(GIVEN_SIZES, 1), **sizes})
    except ValueError as error:
        raise ModelSizeError(f"sizes of {kind!r}: {error}") from error
