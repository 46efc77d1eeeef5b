from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from molbuffer.samplers.models.gru import GRULanguageModel
from molbuffer.samplers.models.protocol import token_mask
from molbuffer.samplers.tokens.vocabulary import END, PAD, START, Vocabulary

MakeModel = Callable[..., GRULanguageModel]


def generator(seed: int = 5) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_a_sequence_is_as_likely_as_the_product_of_its_steps(make_model: MakeModel, vocabulary: Vocabulary) -> None:
    model = make_model()
    tokens, lengths = (
        torch.from_numpy(a.astype(np.int64)) for a in vocabulary.encode_many(["CCO", "CC(=O)Nc1ccc(O)cc1"])
    )
    found = model.log_probs(tokens, lengths).detach()
    gru, state = torch.nn.GRU(16, 32, 2, batch_first=True), None
    gru.load_state_dict(model.recurrent.state_dict())
    for row in range(2):
        before, state = START, None
        for position in range(int(lengths[row])):
            output, state = gru(model.embedding(torch.tensor([[before]])), state)
            logits = model.head(output)[0, 0].detach()
            logits[[PAD, START]] = -torch.inf
            before = int(tokens[row, position])
            assert float(found[row, position]) == pytest.approx(
                float(logits.log_softmax(-1)[before].detach()), abs=1e-4
            )
        assert (found[row, int(lengths[row]) :] == 0).all()


def test_the_gradient_is_that_of_an_ordinary_gru(make_model: MakeModel) -> None:
    model = make_model()
    drawn = model.sample(8, generator=generator())
    model.log_probs(drawn.tokens, drawn.lengths).sum().backward()
    ours = {name: parameter.grad.clone() for name, parameter in model.named_parameters() if parameter.grad is not None}
    model.zero_grad()
    before = torch.nn.functional.pad(drawn.tokens[:, :-1], (1, 0), value=START)
    logits = model.head(model.recurrent(model.embedding(before))[0]) + model.impossible
    chosen = logits.log_softmax(-1).gather(-1, drawn.tokens.clamp(min=END)[..., None])[..., 0]
    chosen[token_mask(drawn.lengths, drawn.tokens.shape[1])].sum().backward()
    for name, parameter in model.named_parameters():
        assert_close(ours[name], parameter.grad, atol=2e-4, rtol=1e-4, msg=lambda text, name=name: f"{name}: {text}")
