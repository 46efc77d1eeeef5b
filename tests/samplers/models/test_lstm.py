import numpy as np
import pytest
import torch

from molbuffer.samplers.models.lstm import LSTMArchitecture, LSTMLanguageModel
from molbuffer.samplers.tokens.vocabulary import PAD, START, Vocabulary


@pytest.mark.parametrize("layer_norm", [False, True])
def test_a_sequence_is_as_likely_as_the_product_of_its_steps(vocabulary: Vocabulary, layer_norm: bool) -> None:
    torch.manual_seed(0)
    model = LSTMLanguageModel(
        LSTMArchitecture(len(vocabulary), embedding_size=8, hidden_size=16, layers=2, layer_norm=layer_norm)
    )
    with torch.no_grad():
        model.head.weight.mul_(5)
    tokens, lengths = (torch.from_numpy(a.astype(np.int64)) for a in vocabulary.encode_many(["CCO", "CC(=O)N"]))
    found = model.log_probs(tokens, lengths).detach()
    cells = [torch.nn.LSTMCell(8, 16), torch.nn.LSTMCell(16, 16)]
    for layer, cell in enumerate(cells):
        cell.load_state_dict({k[:-3]: w for k, w in model.recurrent.state_dict().items() if k.endswith(f"_l{layer}")})
    for row, length in enumerate(lengths.tolist()):
        before, states = START, [(torch.zeros(1, 16), torch.zeros(1, 16))] * 2
        for position in range(length):
            output = model.embedding(torch.tensor([before]))
            for layer, cell in enumerate(cells):
                states[layer] = cell(output, states[layer])
                output = states[layer][0]
            if layer_norm:
                output = (output - output.mean()) / (output.var(unbiased=False) + 1e-5).sqrt()
            logits = model.head(output)[0].detach()
            logits[[PAD, START]] = -torch.inf
            before = int(tokens[row, position])
            assert float(found[row, position]) == pytest.approx(float(logits.log_softmax(-1)[before]), abs=1e-4)
        assert (found[row, length:] == 0).all()


@pytest.mark.filterwarnings("error")
def test_one_layer_may_have_dropout(vocabulary: Vocabulary) -> None:
    model = LSTMLanguageModel(
        LSTMArchitecture(len(vocabulary), embedding_size=8, hidden_size=16, layers=1, dropout=0.5)
    )
    tokens, lengths = torch.tensor([[5, 6, 2]]), torch.tensor([3])
    assert not torch.equal(model.log_probs(tokens, lengths), model.log_probs(tokens, lengths))
