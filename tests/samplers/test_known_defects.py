"""Defects of earlier software of this kind that have no better place; ``docs/design`` lists all, each with its test."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from molbuffer.samplers.base import SamplerSize
from molbuffer.samplers.builds.build import make_build
from molbuffer.samplers.builds.build_spec import BuildSpec
from molbuffer.samplers.builds.judging import Pipeline
from molbuffer.samplers.dataset import DatasetSampler
from molbuffer.samplers.scores.scorer import Scorer
from molbuffer.samplers.tokens.vocabulary import Vocabulary
from molbuffer.scoring import Objective, Standardisation, WeightedComponent
from molbuffer.scoring.components import QED, PythonFunction
from molbuffer.scoring.filters import PropertyRange
from molbuffer.storage import SampleStore
from molbuffer.storage.history.index import IndexScope
from molbuffer.storage.history.selections import TopK
from molbuffer.storage.records import Commit, Event, Run, RunKind

BUILD = """
import hashlib, json, sys, torch
from pathlib import Path
from molbuffer.samplers.builds.build import make_build
from molbuffer.samplers.builds.build_spec import BuildSpec
from molbuffer.samplers.dataset import DatasetSampler
from molbuffer.samplers.builds.judging import Pipeline
from molbuffer.samplers.model import ModelSampler
from molbuffer.samplers.models.gru import GRUArchitecture, GRULanguageModel
from molbuffer.samplers.mutation import MutationSampler
from molbuffer.samplers.policies.policy import Policy, fingerprint
from molbuffer.samplers.scores.scorer import Scorer
from molbuffer.samplers.tokens.vocabulary import Vocabulary
from molbuffer.scoring import Objective, Standardisation, WeightedComponent
from molbuffer.scoring.components import QED
from molbuffer.scoring.filters import PropertyRange
from molbuffer.storage.records import Event

path = Path(sys.argv[1])
vocabulary = Vocabulary.from_smiles(path.read_text().split())
torch.manual_seed(0)
model = GRULanguageModel(GRUArchitecture(len(vocabulary), 8, 16, layers=1, max_length=20)).eval()
policy = Policy(model, vocabulary, fingerprint(model, vocabulary))
dataset = DatasetSampler("file", path, vocabulary)
samplers = [ModelSampler("model", lambda: policy), dataset, MutationSampler("mutants", dataset, vocabulary)]
filters = (PropertyRange("molecular_weight", maximum=250), PropertyRange("logp", minimum=-5))
pipeline = Pipeline(
    Standardisation(), filters, Scorer(Objective((WeightedComponent(QED()),))),
    expressible=vocabulary.can_encode, seen=lambda _: set()
)
said = []
for order, sampler in enumerate(samplers):
    spec = BuildSpec("run", 0, Event.BUILD_BUFFER, sampler_order=order, wanted=8, campaign_seed=1)
    build = make_build(sampler, spec, pipeline)
    samples = build.samples
    metrics = [(metric.name, metric.value) for metric in build.metrics if metric.name != "seconds"]
    rewards = [(reward.row, reward.value) for reward in build.rewards]
    said.append([samples.raw, samples.smiles, samples.rejected_by, samples.rows.tokens.tolist(), rewards, metrics])
print(json.dumps(said))
"""


@pytest.fixture
def dataset(tmp_path: Path, molecules: list[str], vocabulary: Vocabulary) -> DatasetSampler:
    path = tmp_path / "molecules.smi"
    path.write_text("\n".join(molecules))
    return DatasetSampler("file", path, vocabulary, size=SamplerSize(8, 0.5))


def test_the_hash_seed_of_python_changes_nothing_of_a_build(dataset: DatasetSampler) -> None:
    said = {
        subprocess.run(
            [sys.executable, "-c", BUILD, str(dataset.path)],
            env=os.environ | {"PYTHONHASHSEED": seed, "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "1")
    }
    assert len(said) == 1
    assert [len(rows[0]) > 0 for rows in json.loads(said.pop())] == [True, True, True]


def test_both_events_have_the_same_metrics(dataset: DatasetSampler, vocabulary: Vocabulary) -> None:
    scorer = Scorer(Objective((WeightedComponent(QED()),)))
    filters = (PropertyRange("molecular_weight", maximum=250),)
    pipeline = Pipeline(Standardisation(), filters, scorer, expressible=vocabulary.can_encode, seen=lambda _: set())
    builds = [
        make_build(dataset, BuildSpec("run", 0, event, sampler_order=0, wanted=6, campaign_seed=1), pipeline)
        for event in Event
    ]
    names = [[metric.name for metric in build.metrics] for build in builds]
    assert names[0] == names[1]
    assert {"drawn", "kept", "diversity", "duplicates", "valid", "rewards", "new"} <= set(names[0])
    assert all(metric.value is not None for build in builds for metric in build.metrics)


def test_scores_do_not_leak_from_one_run_into_the_next(
    write_scorer: Callable[[str], str], dataset: DatasetSampler, vocabulary: Vocabulary
) -> None:
    module = write_scorer("def constant(smiles, value=0.0):\n    return value\n")

    def scorer(value: float) -> Scorer:
        component = PythonFunction(f"{module}:constant", parameters={"value": value})
        return Scorer(Objective((WeightedComponent(component),)))

    assert scorer(0.25).score(["CCO"]).reward_of() == {"CCO": 0.25}
    assert scorer(0.75).score(["CCO"]).reward_of() == {"CCO": 0.75}
    first, second = scorer(0.5), scorer(0.5)
    assert first.score(["CCO"]).new
    # The second has no store to remember by, and did not ask the first.
    assert second.score(["CCO"]).new
    assert first.owner != second.owner
    for value in (0.25, 0.75):
        pipeline = Pipeline(
            Standardisation(), (), scorer(value), expressible=vocabulary.can_encode, seen=lambda _: set()
        )
        build = make_build(
            dataset, BuildSpec("run", 0, Event.BUILD_BUFFER, sampler_order=0, wanted=6, campaign_seed=1), pipeline
        )
        assert [reward.value for reward in build.rewards] == [value] * 6


def test_the_history_knows_a_molecule_however_it_was_written(
    tmp_path: Path, store: SampleStore, vocabulary: Vocabulary
) -> None:
    (tmp_path / "spellings.smi").write_text("c1ccccc1CCO\nOCCc1ccccc1\nC(c1ccccc1)CO\nCCO\n")
    dataset = DatasetSampler("file", tmp_path / "spellings.smi", vocabulary)
    objective = Objective((WeightedComponent(QED()),))
    pipeline = Pipeline(
        Standardisation(), (), Scorer(objective), expressible=vocabulary.can_encode, seen=lambda _: set()
    )
    build = make_build(
        dataset, BuildSpec("run", 0, Event.BUILD_BUFFER, sampler_order=0, wanted=4, campaign_seed=1), pipeline
    )
    store.start_run(Run("run", "test", RunKind.BUILD, "{}", 1, objective_sha256=objective.sha256))
    store.commit(Commit([build]))
    index = store.index(IndexScope(objective_sha256=objective.sha256))
    assert len(set(index.raw(np.arange(4)))) == 4
    rng, never = np.random.default_rng(0), np.zeros(4, np.int32)
    for positions in (TopK(10).draw(index, 4, rng, never), TopK(10).draw(index, 4, rng, never)):
        assert sorted(index.smiles(positions)) == ["CCO", "OCCc1ccccc1"]
