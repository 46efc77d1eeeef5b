"""A lab, and a tiny policy all of whose draws are molecules."""

import pytest
import torch

import molbuffer as mb
from molbuffer.samplers.models.gru import GRUArchitecture, GRULanguageModel
from molbuffer.samplers.tokens.vocabulary import RESERVED, Vocabulary
from molbuffer.storage import SampleStore

CHAINS = Vocabulary((*RESERVED, "C", "N", "O"))


def tiny_policy(seed: int = 0) -> mb.Policy:
    torch.manual_seed(seed)
    model = GRULanguageModel(
        GRUArchitecture(vocabulary_size=len(CHAINS), embedding_size=8, hidden_size=16, layers=1, max_length=12)
    )
    return mb.Policy.of(model.eval(), CHAINS)


@pytest.fixture(scope="session")
def policy() -> mb.Policy:
    return tiny_policy()


@pytest.fixture(scope="session")
def qed() -> mb.Objective:
    return mb.Objective([mb.QED()])


@pytest.fixture
def lab(store: SampleStore) -> mb.Lab:
    return mb.Lab(store)
