"""The architectures of models by the kind under which their policies are stored."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from samplers.models.gru import GRUArchitecture, GRULanguageModel
from samplers.models.lstm import LSTMArchitecture, LSTMLanguageModel
from samplers.models.protocol import GenerativeModel
from samplers.models.seq2seq import Seq2SeqArchitecture, Seq2SeqModel
from samplers.models.transformer import TransformerArchitecture, TransformerLanguageModel


@dataclass(frozen=True)
class ModelKind:
    """How a model of a kind is built.

    Attributes:
        architecture: a dataclass of its sizes, among them ``vocabulary_size`` and ``max_length``.
        build: makes a model with random weights, as torch's global generator has them.
    """

    architecture: Callable[..., Any]
    build: Callable[[Any], GenerativeModel]

    def make(self, sizes: Mapping[str, Any]) -> GenerativeModel:
        """A model of these sizes.

        Raises:
            TypeError: a size is missing, or the architecture has none of that name.
        """
        return self.build(self.architecture(**sizes))


MODELS: Mapping[str, ModelKind] = {
    GRULanguageModel.kind: ModelKind(GRUArchitecture, GRULanguageModel),
    LSTMLanguageModel.kind: ModelKind(LSTMArchitecture, LSTMLanguageModel),
    Seq2SeqModel.kind: ModelKind(Seq2SeqArchitecture, Seq2SeqModel),
    TransformerLanguageModel.kind: ModelKind(TransformerArchitecture, TransformerLanguageModel),
}
"""Every architecture; a stored policy names one."""
