"""Mutation and graph GA samplers: R19, seeds, bounds, and that selection of the best raises the reward."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from molbuffer.samplers.base import SamplerSize
from molbuffer.samplers.builds.build import make_build
from molbuffer.samplers.builds.build_spec import BuildSpec
from molbuffer.samplers.builds.judging import Pipeline
from molbuffer.samplers.dataset import DatasetSampler
from molbuffer.samplers.graph_ga import GraphGASampler
from molbuffer.samplers.history import RunHistory
from molbuffer.samplers.mutation import MutationSampler
from molbuffer.samplers.scores.scorer import Scorer
from molbuffer.samplers.tokens.vocabulary import Vocabulary
from molbuffer.scoring import Objective, Standardisation, WeightedComponent, standardise_many
from molbuffer.scoring.components import QED
from molbuffer.storage import SampleStore
from molbuffer.storage.records import Commit, Event, Run, RunKind

FILE = Path(__file__).parents[1] / "data/molecules.smi"


@pytest.fixture(scope="module")
def wide_vocabulary() -> Vocabulary:
    """Of all molecules of the file, so that nearly all that mutation makes can be expressed."""
    return Vocabulary.from_smiles(line.split()[0] for line in FILE.read_text().splitlines())


@pytest.fixture
def parents(wide_vocabulary: Vocabulary) -> DatasetSampler:
    return DatasetSampler("parents", FILE, wide_vocabulary)


def test_mutants_are_molecules_other_than_their_parents(parents: DatasetSampler, wide_vocabulary: Vocabulary) -> None:
    sampler = MutationSampler("mutants", parents, wide_vocabulary)
    drawn = sampler.draw(60, seed=3)
    made = standardise_many(drawn.raw)
    assert len(drawn) == 60
    assert sum(smiles is not None for smiles in made) >= 58
    assert np.isnan(drawn.rows.log_probs[:, 0]).all()
    assert wide_vocabulary.decode(drawn.rows.tokens, drawn.rows.lengths) == list(drawn.raw)
    known = set(standardise_many([line.split()[0] for line in FILE.read_text().splitlines()]))
    parents_of = zip(drawn.parents, made, strict=True)
    assert all(len(each) == 1 and each[0] in known and each[0] != name for each, name in parents_of)
    assert sampler.draw(60, seed=3).raw == drawn.raw != sampler.draw(60, seed=4).raw


def test_a_mutation_changes_one_token(tmp_path: Path, wide_vocabulary: Vocabulary) -> None:
    (tmp_path / "one.smi").write_text("CCCCCCCC")
    one = DatasetSampler("one", tmp_path / "one.smi", wide_vocabulary, replacement=True)
    sampler = MutationSampler("mutants", one, wide_vocabulary, valid_only=False)
    for tokens in (wide_vocabulary.encode(text) for text in sampler.draw(80, seed=1).raw):
        others = [token for token in tokens[:-1] if wide_vocabulary.tokens[token] != "C"]
        assert 7 <= len(tokens) - 1 <= 9
        assert len(others) <= 1


def test_no_parents_have_no_mutants_and_odd_ones_do_no_harm(tmp_path: Path, wide_vocabulary: Vocabulary) -> None:
    (tmp_path / "odd.smi").write_text("C\nnonsense!\n[Fe]\n")
    odd = DatasetSampler("odd", tmp_path / "odd.smi", wide_vocabulary)
    sampler = MutationSampler("mutants", odd, wide_vocabulary)
    assert len(sampler.draw(0, seed=1)) == 0
    made = standardise_many(sampler.draw(10, seed=1).raw)
    assert 0 < len(made) < 10, "what has no mutants is left out"
    assert None not in made
    with pytest.raises(ValueError, match="mutations"):
        MutationSampler("mutants", odd, wide_vocabulary, mutations=0)


@pytest.fixture
def breed(store: SampleStore, parents: DatasetSampler, wide_vocabulary: Vocabulary) -> Callable[[int], Any]:
    """Makes and commits one build of a graph GA; gives it."""
    objective = Objective((WeightedComponent(QED()),))
    store.start_run(Run("run", "test", RunKind.BUILD, "{}", 1, objective_sha256=objective.sha256))
    pipeline = Pipeline(
        Standardisation(),
        (),
        Scorer(objective, store, run_id="run"),
        expressible=wide_vocabulary.can_encode,
        seen=lambda _: set(),
    )
    iteration = 0
    history = RunHistory(
        store, "run", objective_sha256=objective.sha256, vocabulary=wide_vocabulary, settled=lambda: iteration
    )
    sampler = GraphGASampler(
        "children", history, parents, wide_vocabulary, size=SamplerSize(buffer_size=60), parents=40, k=0.1
    )

    def build(at: int) -> Any:
        nonlocal iteration
        iteration = at
        made = make_build(
            sampler, BuildSpec("run", at, Event.BUILD_BUFFER, sampler_order=0, wanted=60, campaign_seed=5), pipeline
        )
        store.commit(Commit(builds=[made]))
        return made

    return build


def mean_reward(build: Any) -> float:
    return float(np.mean([reward.value for reward in build.rewards if reward.value is not None]))


def test_children_of_the_best_are_better_generation_by_generation(
    breed: Callable[[int], Any], store: SampleStore
) -> None:
    generations = [breed(iteration) for iteration in range(7)]
    first, last = mean_reward(generations[0]), mean_reward(generations[-1])
    assert last > first + 0.1, f"from {first:.3f} to {last:.3f}"
    assert {build.sampler_kind for build in generations} == {"graph_ga"}
    assert all(build.policy_sha256 is None for build in generations)
    samples = generations[-1].samples
    earlier = {smiles for build in generations[:-1] for smiles in build.samples.smiles}
    assert all(1 <= len(each) <= 2 and set(each) <= earlier for each in samples.parents)
    assert store.build(generations[-1].build_id).build.samples.parents == list(samples.parents)
    stored = store.query('SELECT parents FROM sample_history WHERE iteration = 6 ORDER BY "row"')["parents"]
    assert stored.to_list() == [" ".join(each) for each in samples.parents]
    assert np.isnan(samples.rows.log_probs[samples.kept][:, 0]).all()


def test_an_empty_history_and_no_other_parents_leave_a_shortfall(
    store: SampleStore, tmp_path: Path, wide_vocabulary: Vocabulary
) -> None:
    (tmp_path / "none.smi").write_text("nonsense!\n")
    store.start_run(Run("run", "test", RunKind.BUILD, "{}", 1))
    history = RunHistory(store, "run", objective_sha256="objective", vocabulary=wide_vocabulary, settled=lambda: 0)
    base = DatasetSampler("none", tmp_path / "none.smi", wide_vocabulary)
    assert len(GraphGASampler("children", history, base, wide_vocabulary).draw(5, seed=1)) == 0
    with pytest.raises(ValueError, match="parents"):
        GraphGASampler("children", history, base, wide_vocabulary, parents=1)
