from collections.abc import Callable

import pytest
import torch

from molbuffer.samplers.models.gru import GRUArchitecture, GRULanguageModel
from molbuffer.samplers.tokens.vocabulary import Vocabulary

MakeModel = Callable[..., GRULanguageModel]


@pytest.fixture(scope="session")
def make_model(vocabulary: Vocabulary) -> MakeModel:
    """Makes tiny models with random weights; their head is scaled up so that tokens are far from equally likely."""

    def make(seed: int = 0, max_length: int = 40, dropout: float = 0.0) -> GRULanguageModel:
        torch.manual_seed(seed)
        sizes = GRUArchitecture(
            len(vocabulary), embedding_size=16, hidden_size=32, layers=2, max_length=max_length, dropout=dropout
        )
        model = GRULanguageModel(sizes)
        with torch.no_grad():
            model.head.weight.mul_(8)
        return model.eval()

    return make
