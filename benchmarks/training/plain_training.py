"""Plain trainings: REINVENT's loop as the field writes it, without a store, on the weights of molbuffer's models.

One iteration draws a batch, scores each different molecule once with QED, and takes a step on the loss.

CellLoop    one of torch's cells a layer and step; the graph is kept while drawing, and likelihoods of the drawn rows
            are computed again by the same steps, under the agent and under the prior.
FusedLoop   draws without a graph, by ``torch.nn.GRU`` over one step; likelihoods by ``torch.nn.GRU`` over all steps, of
            the prior without a graph.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from rdkit import Chem, RDLogger
from rdkit.Chem import QED
from torch import Tensor, nn
from torch.nn import functional

from molbuffer.samplers import END, PAD, START, Vocabulary
from molbuffer.samplers.models import GRULanguageModel

State = list[Tensor] | Tensor | None


class _Network(nn.Module):
    """The weights of a model of molbuffer in modules of torch."""

    def __init__(self, model: GRULanguageModel) -> None:
        super().__init__()
        sizes = model.sizes
        self.embedding = nn.Embedding.from_pretrained(model.embedding.weight.detach().clone(), freeze=False)
        self.gru = nn.GRU(sizes.embedding_size, sizes.hidden_size, sizes.layers, batch_first=True)
        self.gru.load_state_dict(model.recurrent.state_dict())
        self.cells = nn.ModuleList()
        for from_input, from_state, input_bias, state_bias in self.gru.all_weights:
            cell = nn.GRUCell(from_input.shape[1], sizes.hidden_size)
            weights = {"weight_ih": from_input, "weight_hh": from_state, "bias_ih": input_bias, "bias_hh": state_bias}
            cell.load_state_dict(weights)
            self.cells.append(cell)
        self.head = nn.Linear(sizes.hidden_size, sizes.vocabulary_size)
        self.head.load_state_dict(model.head.state_dict())
        self.hidden_size = sizes.hidden_size

    def cell_step(self, tokens: Tensor, states: State) -> tuple[Tensor, State]:
        states = list(states) if states is not None else [torch.zeros(len(tokens), self.hidden_size)] * len(self.cells)
        output = self.embedding(tokens)
        for layer, cell in enumerate(self.cells):
            output = states[layer] = cell(output, states[layer])
        return _possible(self.head(output)), states

    def gru_step(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        output, state = self.gru(self.embedding(tokens)[:, None], state)
        return _possible(self.head(output[:, 0])), state


class PlainTraining:
    """A training loop in the field's usual form."""

    def __init__(
        self, model: GRULanguageModel, vocabulary: Vocabulary, *, sigma: float, learning_rate: float, batch: int
    ) -> None:
        self.agent, self.prior = _Network(model), _Network(model)
        self.vocabulary, self.sigma, self.batch = vocabulary, sigma, batch
        self.longest = model.sizes.max_length
        self.optimizer = torch.optim.Adam(self.agent.parameters(), learning_rate)
        self.scores: dict[str, float] = {}

    def iterate(self) -> int:
        """Draw, score and learn, and return the scored molecules."""
        tokens = self.draw()
        before = len(self.scores)
        texts = self.vocabulary.decode(tokens.numpy(), (tokens != PAD).sum(1).numpy())
        rewards = torch.tensor([self.score(text) for text in texts])
        agent, prior = self.likelihood(self.agent, tokens), self.prior_likelihood(tokens)
        loss = (prior + self.sigma * rewards - agent).pow(2).mean()
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.agent.parameters(), 1.0)
        self.optimizer.step()
        return len(self.scores) - before

    def draw(self) -> Tensor:
        raise NotImplementedError

    def likelihood(self, network: _Network, tokens: Tensor) -> Tensor:
        raise NotImplementedError

    def prior_likelihood(self, tokens: Tensor) -> Tensor:
        raise NotImplementedError

    def score(self, text: str) -> float:
        molecule = Chem.MolFromSmiles(text)
        if molecule is None:
            return 0.0
        name = Chem.MolToSmiles(molecule)
        if name not in self.scores:
            self.scores[name] = float(QED.qed(molecule))
        return self.scores[name]

    def rows(self, step: Callable[[Tensor, State], tuple[Tensor, State]]) -> Tensor:
        """Draw rows until all have ended."""
        token, ended, state = torch.full((self.batch,), START), torch.zeros(self.batch, dtype=torch.bool), None
        tokens, likelihood = [], torch.zeros(self.batch)
        for _ in range(self.longest):
            logits, state = step(token, state)
            probabilities = logits.softmax(-1)
            token = torch.multinomial(probabilities, 1)[:, 0]
            chosen = functional.nll_loss(logits.log_softmax(-1), token, reduction="none")
            likelihood = likelihood - chosen.masked_fill(ended, 0.0)
            tokens.append(token.masked_fill(ended, PAD))
            ended = ended | (token == END)
            if ended.all():
                break
        return torch.stack(tokens, 1)


class CellLoop(PlainTraining):
    """A loop of torch's cells that keeps the graph while it draws."""

    def draw(self) -> Tensor:
        return self.rows(self.agent.cell_step)

    def likelihood(self, network: _Network, tokens: Tensor) -> Tensor:
        token, state = torch.full((len(tokens),), START), None
        likelihood = torch.zeros(len(tokens))
        for position in range(tokens.shape[1]):
            logits, state = network.cell_step(token, state)
            token = tokens[:, position]
            inside = token != PAD
            chosen = functional.nll_loss(logits.log_softmax(-1), token.masked_fill(~inside, END), reduction="none")
            likelihood = likelihood - chosen.masked_fill(~inside, 0.0)
        return likelihood

    def prior_likelihood(self, tokens: Tensor) -> Tensor:
        return self.likelihood(self.prior, tokens).detach()


class FusedLoop(PlainTraining):
    """A loop of torch's fused layers, which draws without a graph."""

    @torch.no_grad()
    def draw(self) -> Tensor:
        return self.rows(self.agent.gru_step)

    def likelihood(self, network: _Network, tokens: Tensor) -> Tensor:
        before = functional.pad(tokens[:, :-1], (1, 0), value=START)
        logits = _possible(network.head(network.gru(network.embedding(before))[0]))
        inside = tokens != PAD
        chosen = logits.log_softmax(-1).gather(-1, tokens.masked_fill(~inside, END)[..., None])[..., 0]
        return chosen.masked_fill(~inside, 0.0).sum(1)

    @torch.no_grad()
    def prior_likelihood(self, tokens: Tensor) -> Tensor:
        return self.likelihood(self.prior, tokens)


def _possible(logits: Tensor) -> Tensor:
    """Return the logits without PAD and START, which molbuffer's models do not draw either."""
    impossible = torch.zeros(logits.shape[-1])
    impossible[[PAD, START]] = -torch.inf
    return logits + impossible


RDLogger.DisableLog("rdApp.*")
