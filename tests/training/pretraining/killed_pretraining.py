"""A pretraining in a process of its own, which tells each checkpoint once it is durable; a test kills it."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from molbuffer.samplers.models.gru import GRUArchitecture, GRULanguageModel
from molbuffer.samplers.tokens.vocabulary import RESERVED, Vocabulary
from molbuffer.storage import SampleStore
from molbuffer.storage.records import Run, RunKind
from molbuffer.training.checkpoint import RunCheckpoints
from molbuffer.training.pretraining.corpus import Corpus
from molbuffer.training.pretraining.pretrain import pretrain
from molbuffer.training.pretraining.settings import PretrainSettings

CHAINS = Vocabulary((*RESERVED, "C", "N", "O"))
SETTINGS = PretrainSettings(
    epochs=4, decay_epochs=1, batch_size=16, warmup_steps=4, held_out=20, patience=99, seed=3, checkpoint_seconds=0.0
)


class Telling(RunCheckpoints):
    """Prints the step of each checkpoint once it is committed."""

    def save(self, step, files):
        super().save(step, files)
        print(step, flush=True)


def train(store: SampleStore, checkpoints: type[RunCheckpoints] = RunCheckpoints, **changed) -> dict[str, torch.Tensor]:
    """The weights after a pretraining that goes on from what the store has of it."""
    torch.set_num_threads(1)  # Sums are rounded otherwise with another number of threads.
    rng = np.random.default_rng(0)
    corpus = Corpus.split(["CO" * int(n) + "N" for n in rng.integers(1, 4, 200)], CHAINS, held_out=20, seed=1)
    torch.manual_seed(0)
    model = GRULanguageModel(
        GRUArchitecture(len(CHAINS), embedding_size=16, hidden_size=32, layers=2, max_length=10, dropout=0.2)
    )
    with store.recorded_run(Run("run", "run", RunKind.PRETRAIN, "{}", 0)):
        pretrain(model, corpus, replace(SETTINGS, **changed), checkpoints=checkpoints(store, "run"))
    return model.state_dict()


if __name__ == "__main__":
    with SampleStore.open(Path(sys.argv[1])) as opened:
        train(opened, Telling)
