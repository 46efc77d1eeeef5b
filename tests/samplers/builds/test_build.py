"""R13, R19, R25: what a build holds of what was drawn."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch

from molbuffer.kinds import PluginError
from molbuffer.samplers.base import Draw, Sampler, SamplerSize, encode_rows
from molbuffer.samplers.builds.build import make_build
from molbuffer.samplers.builds.build_spec import BuildSpec
from molbuffer.samplers.builds.judging import VOCABULARY, Pipeline
from molbuffer.samplers.builds.rounds import REDRAW_ROUNDS
from molbuffer.samplers.dataset import DatasetSampler
from molbuffer.samplers.model import ModelSampler
from molbuffer.samplers.models.gru import GRULanguageModel
from molbuffer.samplers.policies.policy import Policy, fingerprint
from molbuffer.samplers.scores.scorer import Scorer
from molbuffer.samplers.tokens.vocabulary import Vocabulary
from molbuffer.scoring import Filter, Objective, Standardisation, WeightedComponent, standardise_smiles
from molbuffer.scoring.choices import MaxMin
from molbuffer.scoring.components import PythonFunction
from molbuffer.scoring.filters import VALIDITY, PropertyRange
from molbuffer.storage.records import Build, Event, ScoreStatus

SOURCE = """
def length(smiles, refuse=""):
    if smiles == refuse:
        raise RuntimeError("cannot dock this one")
    return len(smiles) / 100
"""
NOTHING_PASSES = PropertyRange("molecular_weight", minimum=100_000, name="heavy")


@pytest.fixture
def policy(make_model: Callable[..., GRULanguageModel], vocabulary: Vocabulary) -> Policy:
    model = make_model()
    return Policy(model, vocabulary, fingerprint(model, vocabulary))


@pytest.fixture
def make_pipeline(write_scorer: Callable[[str], str]) -> Callable[..., Pipeline]:
    module = write_scorer(SOURCE)

    def make(
        filters: Sequence[Filter] = (), refuse: str = "", expressible: Callable[[str], bool] = lambda _: True
    ) -> Pipeline:
        component = PythonFunction(f"{module}:length", parameters={"refuse": refuse})
        scorer = Scorer(Objective((WeightedComponent(component),)))
        return Pipeline(Standardisation(), filters, scorer, expressible=expressible, seen=lambda _: set())

    return make


@pytest.fixture
def dataset(tmp_path: Path, molecules: list[str], vocabulary: Vocabulary) -> DatasetSampler:
    path = tmp_path / "molecules.smi"
    path.write_text("\n".join(molecules))
    return DatasetSampler("dataset", path, vocabulary)


def spec(wanted: int, seed: int = 1) -> BuildSpec:
    return BuildSpec("run", 2, Event.BUILD_BUFFER, sampler_order=0, wanted=wanted, campaign_seed=seed)


def metrics(build: Build) -> dict[str, float | None]:
    return {metric.name: metric.value for metric in build.metrics}


def count_draws(sampler: Sampler, monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """The (n, seed) of each draw that is made of a sampler from now on."""
    calls: list[tuple[int, int]] = []
    draw = type(sampler).draw

    def counting(self: Sampler, n: int, seed: int) -> Draw:
        calls.append((n, seed))
        return draw(self, n, seed)

    monkeypatch.setattr(type(sampler), "draw", counting)
    return calls


def test_r13_rejected_rows_stay_in_the_build_with_the_name_of_the_filter(
    dataset: DatasetSampler, vocabulary: Vocabulary, make_pipeline: Callable[..., Pipeline]
) -> None:
    with dataset.path.open("a") as file:
        file.write("\nCC(\n")
    light = PropertyRange("molecular_weight", maximum=250, name="light")
    samples = (build := make_build(dataset, spec(40), make_pipeline([light]))).samples
    assert {VALIDITY, "light", None} == set(samples.rejected_by)
    for raw, smiles, reason in zip(samples.raw, samples.smiles, samples.rejected_by, strict=True):
        assert (smiles is None) == (reason == VALIDITY)
        assert smiles == standardise_smiles(raw)
    assert vocabulary.decode(samples.rows.tokens, samples.rows.lengths) == samples.raw
    assert [reward.row for reward in build.rewards] == np.flatnonzero(samples.kept).tolist()


def test_r13_a_sampler_whose_rows_are_all_refused_is_asked_1_and_4_times_and_stays_short(
    policy: Policy, make_pipeline: Callable[..., Pipeline], monkeypatch: pytest.MonkeyPatch
) -> None:
    sampler = ModelSampler("agent", lambda: policy)
    calls = count_draws(sampler, monkeypatch)
    build = make_build(sampler, spec(7), make_pipeline([NOTHING_PASSES]))
    assert [n for n, _ in calls] == [7] * (1 + REDRAW_ROUNDS)
    assert len({seed for _, seed in calls}) == 1 + REDRAW_ROUNDS
    assert len(build.samples) == 35
    assert set(build.samples.rejected_by) <= {"heavy", VALIDITY}
    assert not build.rewards and not build.scores
    found = metrics(build)
    assert (found["drawn"], found["kept"], found["shortfall"], found["rewards"]) == (35, 0, 7, None)


def test_a_build_goes_on_in_its_file_where_the_run_had_come_to_and_so_do_its_further_draws(
    dataset: DatasetSampler, molecules: list[str], make_pipeline: Callable[..., Pipeline]
) -> None:
    light = PropertyRange("molecular_weight", maximum=250, name="light")
    first = make_build(dataset, spec(5), make_pipeline([light])).samples
    assert len(first) > 5, "some rows were refused, and others drawn for them"
    place = replace(spec(len(molecules) - len(first)), drawn_before=len(first), iteration=9, chunk=3)
    rest = make_build(dataset, place, make_pipeline()).samples
    assert sorted([*first.raw, *rest.raw]) == sorted(molecules)


def test_only_what_is_missing_is_drawn_again(
    policy: Policy, make_pipeline: Callable[..., Pipeline], monkeypatch: pytest.MonkeyPatch
) -> None:
    sampler = ModelSampler("agent", lambda: policy)
    calls = count_draws(sampler, monkeypatch)
    build = make_build(sampler, spec(30), make_pipeline())
    kept = build.samples.kept
    missing, start = 30, 0
    for n, _ in calls:
        assert n == missing
        missing -= int(kept[start : start + n].sum())
        start += n
    assert start == len(build.samples) and metrics(build)["shortfall"] == missing


def test_r25_rewards_are_joined_by_molecule_and_a_failed_score_is_no_reward(
    dataset: DatasetSampler, make_pipeline: Callable[..., Pipeline]
) -> None:
    refused = standardise_smiles(dataset.rows.take(np.array([0]))[0][0])
    assert refused is not None
    repeating = DatasetSampler("dataset", dataset.path, dataset.vocabulary, replacement=True)
    build = make_build(repeating, spec(300), make_pipeline(refuse=refused))
    samples = build.samples
    assert samples.smiles.count(refused) > 1, "the draw should meet the refused molecule twice"
    assert len(build.rewards) == 300
    for reward in build.rewards:
        smiles = samples.smiles[reward.row]
        assert smiles is not None
        if smiles == refused:
            assert (reward.value, reward.status) == (None, ScoreStatus.FAILED)
        else:
            assert reward.value == pytest.approx(len(smiles) / 100) and reward.status is ScoreStatus.OK
    failed = [score for score in build.scores if score.status is ScoreStatus.FAILED]
    assert [score.smiles for score in failed] == [refused]
    assert "cannot dock this one" in (failed[0].error or "")
    assert len(build.scores) == len(set(samples.smiles)), "a molecule drawn twice is scored once"


def test_r8_what_the_policy_in_training_cannot_express_is_rejected_by_vocabulary(
    dataset: DatasetSampler, molecules: list[str], make_pipeline: Callable[..., Pipeline]
) -> None:
    lacking = Vocabulary.from_smiles([text for text in molecules if "Br" not in text and "S" not in text])
    narrow = DatasetSampler("dataset", dataset.path, lacking)
    build = make_build(narrow, spec(len(molecules)), make_pipeline(expressible=lacking.can_encode))
    first = list(zip(build.samples.raw, build.samples.rejected_by, build.samples.rows.lengths, strict=True))
    assert sorted(raw for raw, *_ in first[: len(molecules)]) == sorted(molecules)
    for raw, reason, length in first:
        assert reason == (None if lacking.can_encode(raw) else VOCABULARY)
        assert (length == 0) == (reason == VOCABULARY)
    assert VOCABULARY in build.samples.rejected_by


def test_the_same_seed_makes_the_same_build(policy: Policy, make_pipeline: Callable[..., Pipeline]) -> None:
    sampler, pipeline = ModelSampler("agent", lambda: policy), make_pipeline()
    one, same = (make_build(sampler, spec(10), pipeline) for _ in range(2))
    other = make_build(sampler, spec(10, seed=2), pipeline)
    assert one.seed == same.seed != other.seed
    assert one.samples.raw == same.samples.raw != other.samples.raw
    assert one.rewards == same.rewards and one.build_id == same.build_id
    np.testing.assert_array_equal(one.samples.rows.tokens, same.samples.rows.tokens)
    np.testing.assert_array_equal(one.samples.rows.log_probs, same.samples.rows.log_probs)


def test_different_places_in_a_run_draw_differently(policy: Policy, make_pipeline: Callable[..., Pipeline]) -> None:
    sampler, pipeline = ModelSampler("agent", lambda: policy), make_pipeline()
    places = [
        BuildSpec("run", 2, Event.BUILD_BUFFER, sampler_order=0, wanted=5, campaign_seed=1),
        BuildSpec("run", 3, Event.BUILD_BUFFER, sampler_order=0, wanted=5, campaign_seed=1),
        BuildSpec("run", 2, Event.SAMPLE_BATCH, sampler_order=0, wanted=5, campaign_seed=1),
        BuildSpec("run", 2, Event.BUILD_BUFFER, sampler_order=0, wanted=5, campaign_seed=1, chunk=1),
    ]
    builds = [make_build(sampler, place, pipeline) for place in places]
    assert len({build.seed for build in builds}) == len({build.build_id for build in builds}) == 4


def test_a_build_names_the_policy_and_how_it_was_drawn_from(
    policy: Policy, dataset: DatasetSampler, make_pipeline: Callable[..., Pipeline]
) -> None:
    build = make_build(ModelSampler("agent", lambda: policy), spec(3), make_pipeline())
    assert (build.sampler, build.sampler_kind, build.policy_sha256) == ("agent", "model", policy.sha256)
    assert (build.temperature, build.top_k, build.top_p) == (1.0, 0, 1.0)
    build = make_build(dataset, spec(3), make_pipeline())
    assert (build.sampler_kind, build.policy_sha256, build.temperature) == ("dataset", None, None)


def test_r19_a_sampler_without_a_likelihood_stores_nan(
    dataset: DatasetSampler, make_pipeline: Callable[..., Pipeline]
) -> None:
    samples = make_build(dataset, spec(12), make_pipeline()).samples
    inside = np.arange(samples.rows.tokens.shape[1]) < samples.rows.lengths[:, None]
    assert np.isnan(samples.rows.log_probs[inside]).all()
    assert (samples.rows.log_probs[~inside] == 0).all()


def test_r21_stored_log_probs_are_those_of_the_policy(policy: Policy, make_pipeline: Callable[..., Pipeline]) -> None:
    samples = make_build(ModelSampler("agent", lambda: policy), spec(12), make_pipeline()).samples
    with torch.no_grad():
        tokens, lengths = (
            torch.from_numpy(samples.rows.tokens.astype(np.int64)),
            torch.from_numpy(samples.rows.lengths).long(),
        )
        expected = policy.model.log_probs(tokens, lengths).numpy()
    np.testing.assert_allclose(samples.rows.log_probs, expected, atol=1e-4)


@dataclass(frozen=True)
class Drawn(Sampler):
    """Draws from a list of molecules, with repeats."""

    molecules: Sequence[str]
    vocabulary: Vocabulary
    unique: bool = False
    name: str = "drawn"
    size: SamplerSize = SamplerSize()
    kind: ClassVar[str] = "drawn"

    def draw(self, n: int, seed: int) -> Draw:
        raw = np.random.default_rng(seed).choice(self.molecules, n).tolist()
        return Draw(raw, encode_rows(raw, self.vocabulary))


@pytest.mark.parametrize("unique", [False, True])
def test_only_chosen_molecules_are_scored_and_the_others_stored(
    molecules: list[str],
    vocabulary: Vocabulary,
    make_pipeline: Callable[..., Pipeline],
    monkeypatch: pytest.MonkeyPatch,
    unique: bool,
) -> None:
    sampler = Drawn(molecules, vocabulary, unique)
    calls = count_draws(sampler, monkeypatch)
    pipeline = replace(make_pipeline(), choice=MaxMin(candidates=3.0))
    build = make_build(sampler, spec(10), pipeline)
    assert calls[0][0] == 30
    kept = [smiles for smiles, keep in zip(build.samples.smiles, build.samples.kept, strict=True) if keep]
    assert len(kept) == 10
    assert {score.smiles for score in build.scores} == set(kept)
    refused = set(build.samples.rejected_by) - {None}
    assert "choice" in refused <= {"choice", "duplicate", "validity", "valence"}
    again = make_build(sampler, spec(10), pipeline)
    assert again.samples.smiles == build.samples.smiles
    assert again.samples.rejected_by == build.samples.rejected_by


def test_rows_of_a_file_are_not_chosen_from(dataset: DatasetSampler, make_pipeline: Callable[..., Pipeline]) -> None:
    build = make_build(dataset, spec(5), replace(make_pipeline(), choice=MaxMin()))
    assert len(build.samples) == 5
    assert all(build.samples.kept)


@pytest.mark.parametrize("indices", [[0, 0], [0, 99], [-1, 0], [0], [0.0, 1.0], None])
def test_a_choice_of_something_else_is_named(
    molecules: list[str], vocabulary: Vocabulary, make_pipeline: Callable[..., Pipeline], indices: object
) -> None:
    class Odd:
        candidates = 4.0

        def choose(self, smiles: Sequence[str], n: int, seed: int) -> object:
            return indices

    with pytest.raises(PluginError, match=r"Odd.*expected 2 different indices"):
        make_build(Drawn(molecules, vocabulary), spec(2), replace(make_pipeline(), choice=Odd()))
