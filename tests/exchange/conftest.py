"""A lab with a run of a tiny policy, of which every draw is a molecule."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import molbuffer as mb
from molbuffer.samplers.models.gru import GRUArchitecture, GRULanguageModel
from molbuffer.samplers.tokens.vocabulary import RESERVED, Vocabulary
from molbuffer.storage import SampleStore

CHAINS = Vocabulary((*RESERVED, "C", "N", "O"))
QED = mb.Objective([mb.QED()])


@pytest.fixture(scope="session")
def policy() -> mb.Policy:
    torch.manual_seed(0)
    sizes = GRUArchitecture(vocabulary_size=len(CHAINS), embedding_size=8, hidden_size=16, layers=1, max_length=12)
    return mb.Policy.of(GRULanguageModel(sizes).eval(), CHAINS)


Train = Callable[..., str]


@pytest.fixture
def lab(store: SampleStore) -> mb.Lab:
    return mb.Lab(store)


@pytest.fixture(scope="session")
def train(policy: mb.Policy) -> Train:
    """Trains a run, or goes on with it, and returns its id."""

    def trained(lab: mb.Lab, iterations: int = 6, after: Callable[[int], None] | None = None, **run: Any) -> str:
        given = {"objective": QED, "policy": policy, "seed": 3, **run}
        with lab.run("tiny run", **given) as begun:
            begun.build(mb.ModelSampler("agent", begun.agent), n=12)
            begun.train(
                batch_size=8,
                iterations=iterations,
                samplers={"agent": 0.5},
                selection="uniform",
                checkpoint_every=2,
                progress=lambda done: after(done.iteration) if after else None,
            )
            return begun.run_id

    return trained


@pytest.fixture(scope="session")
def trained_template(train: Train, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    folder = tmp_path_factory.mktemp("trained") / "lab"
    with mb.open(folder) as lab:
        return folder, train(lab)


@pytest.fixture
def trained(trained_template: tuple[Path, str], tmp_path: Path) -> Iterator[tuple[mb.Lab, str]]:
    """A lab with a finished run of 6 iterations, and the id of the run; a copy for each test."""
    folder, run_id = trained_template
    with mb.open(shutil.copytree(folder, tmp_path / "lab")) as lab:
        yield lab, run_id
