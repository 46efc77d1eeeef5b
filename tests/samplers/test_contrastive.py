"""R24: pairs as a sampler draws them, and as a build judges, scores and keeps them."""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np
import pytest
import torch

from molbuffer.samplers.base import Draw, Sampler, SamplerSize, encode_rows
from molbuffer.samplers.builds.build import make_build
from molbuffer.samplers.builds.build_spec import BuildSpec
from molbuffer.samplers.builds.judging import VOCABULARY, Pipeline
from molbuffer.samplers.builds.rounds import REDRAW_ROUNDS
from molbuffer.samplers.contrastive import SOURCE_ROUNDS, ContrastiveSampler
from molbuffer.samplers.errors import ConditionError
from molbuffer.samplers.model import ModelSampler
from molbuffer.samplers.models.condition import Condition
from molbuffer.samplers.models.distribution import Sampling
from molbuffer.samplers.models.gru import GRUArchitecture, GRULanguageModel
from molbuffer.samplers.models.seq2seq import Seq2SeqArchitecture, Seq2SeqModel
from molbuffer.samplers.policies.policy import Policy, fingerprint
from molbuffer.samplers.scores.scorer import Scorer
from molbuffer.samplers.tokens.vocabulary import RESERVED, Vocabulary
from molbuffer.scoring import (
    ContrastiveTemplate,
    Filter,
    Objective,
    Standardisation,
    WeightedComponent,
    standardise_smiles,
)
from molbuffer.scoring.components import PythonFunction
from molbuffer.scoring.filters import PropertyRange
from molbuffer.scoring.pairs import IMPROVEMENT, SIMILARITY, SOURCE
from molbuffer.storage.records import Build, Event, RowId, ScoreStatus

CHAINS = Vocabulary((*RESERVED, "C", "N", "O"))
MOLECULES = ["CCN", "OCC", "CCCC", "NCO", "CCCO"]
SCORER = """
CALLS = []


def carbon(smiles, refuse=""):
    CALLS.append(smiles)
    if smiles == refuse:
        raise RuntimeError("cannot dock this one")
    return smiles.count("C") / len(smiles)
"""
MakePipeline = Callable[..., Pipeline]


@dataclass
class Listed:
    """Gives the molecules of a list one after another, each with the identity of a stored row, and notes each draw."""

    smiles: Sequence[str]
    vocabulary: Vocabulary = CHAINS
    draws: list[tuple[int, int]] = field(default_factory=list)
    stored: bool = True
    _given: int = 0
    name: str = "sources"
    kind: ClassVar[str] = "listed"
    size: SamplerSize = SamplerSize()
    policy_sha256: None = None
    sampling: None = None

    def draw(self, n: int, seed: int) -> Draw:
        self.draws.append((n, seed))
        first, self._given = self._given, min(self._given + n, len(self.smiles))
        rows = [RowId("earlier", row) for row in range(first, self._given)]
        smiles = self.smiles[first : self._given]
        return Draw(smiles, encode_rows(smiles, self.vocabulary), stored=rows if self.stored else None)


def seq2seq(seed: int = 0, max_length: int = 8) -> Policy:
    """A conditional policy with random weights that draws chains; it is not indifferent to its source."""
    torch.manual_seed(seed)
    model = Seq2SeqModel(
        Seq2SeqArchitecture(
            len(CHAINS), hidden_size=16, encoder_layers=1, decoder_layers=1, heads=2, max_length=max_length
        )
    ).eval()
    with torch.no_grad():
        model.head.weight.mul_(20)
        for name, parameter in model.named_parameters():
            if name.endswith("out.weight"):
                parameter.normal_(std=0.2)
    return Policy(model, CHAINS, fingerprint(model, CHAINS))


def sampler(base: Sampler, **changes: object) -> ContrastiveSampler:
    policy = seq2seq()
    return replace(ContrastiveSampler("pairs", base, lambda: policy), **changes)


@pytest.fixture
def make_pipeline(write_scorer: Callable[[str], str]) -> MakePipeline:
    module = write_scorer(SCORER)

    def make(
        template: ContrastiveTemplate | None = None,
        filters: Sequence[Filter] = (),
        refuse: str = "",
        expressible: Callable[[str], bool] = lambda _: True,
    ) -> Pipeline:
        component = PythonFunction(f"{module}:carbon", parameters={"refuse": refuse})
        scorer = Scorer(Objective((WeightedComponent(component),)))
        return Pipeline(
            Standardisation(), filters, scorer, expressible=expressible, seen=lambda _: set(), template=template
        )

    return make


def spec(wanted: int, event: Event = Event.BUILD_BUFFER) -> BuildSpec:
    return BuildSpec("run", 2, event, sampler_order=0, wanted=wanted, campaign_seed=1)


def carbon(smiles: str | None) -> float:
    assert smiles is not None
    return smiles.count("C") / len(smiles)


def metrics_of(build: Build) -> dict[str, float | None]:
    return {metric.name: metric.value for metric in build.metrics}


def test_every_pair_keeps_its_source_whatever_repeats_is() -> None:
    drawn = sampler(Listed(MOLECULES), repeats=3).draw(10, seed=4)
    assert len(drawn) == 10
    sources, tokens, lengths = drawn.source_smiles, drawn.rows.source_tokens, drawn.rows.source_lengths
    assert sources is not None and tokens is not None and lengths is not None
    canonical = [standardise_smiles(text) for text in MOLECULES]
    assert sources == [canonical[row] for row in (0, 0, 0, 1, 1, 1, 2, 2, 2, 3)]
    assert [row.row for row in drawn.source_rows if row] == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3]
    assert CHAINS.decode(tokens, lengths) == list(sources)
    assert CHAINS.decode(drawn.rows.tokens, drawn.rows.lengths) == list(drawn.raw)
    condition = Condition(
        sources=torch.from_numpy(tokens.astype(np.int64)),
        source_lengths=torch.from_numpy(lengths.astype(np.int64)),
    )
    found = seq2seq().model.log_probs(
        torch.from_numpy(drawn.rows.tokens.astype(np.int64)),
        torch.from_numpy(drawn.rows.lengths.astype(np.int64)),
        condition=condition,
    )
    # Under another row's source the likelihoods would differ.
    assert np.abs(found.detach().numpy() - drawn.rows.log_probs).max() < 1e-4
    other = seq2seq().model.log_probs(
        torch.from_numpy(drawn.rows.tokens.astype(np.int64)),
        torch.from_numpy(drawn.rows.lengths.astype(np.int64)),
        condition=condition[torch.arange(9, -1, -1)],
    )
    assert np.abs(other.detach().numpy() - drawn.rows.log_probs).max() > 1e-2


@pytest.mark.parametrize(("n", "repeats", "asked"), [(1, 1, 1), (2, 5, 1), (7, 2, 4), (4, 4, 1), (5, 4, 2)])
def test_as_many_sources_are_drawn_as_the_pairs_need(n: int, repeats: int, asked: int) -> None:
    base = Listed(MOLECULES)
    drawn = sampler(base, repeats=repeats).draw(n, seed=4)
    assert len(drawn) == n
    assert [count for count, _ in base.draws] == [asked]
    assert max(Counter(drawn.source_smiles).values()) <= repeats


def test_for_a_source_that_is_no_molecule_or_cannot_be_expressed_another_is_drawn() -> None:
    wide = Vocabulary((*CHAINS.tokens, "S", "("))
    base = Listed(["CCN", "CCS", "C(", "OCC", "CCSC", "CCCC", "NCO"], vocabulary=wide)
    drawn = sampler(base, repeats=2).draw(8, seed=4)
    assert [count for count, _ in base.draws] == [4, 2, 1]
    assert len({seed for _, seed in base.draws}) == 3
    assert drawn.source_smiles == [text for text in ("CCN", "CCO", "CCCC", "NCO") for _ in range(2)]
    assert [row.row for row in drawn.source_rows] == [0, 0, 3, 3, 5, 5, 6, 6]
    assert drawn.sources_unusable == 3


def test_sources_that_can_never_be_used_end_the_draw_without_pairs(make_pipeline: MakePipeline) -> None:
    base = Listed(["C("] * 1000, vocabulary=Vocabulary((*CHAINS.tokens, "(")))
    drawn = sampler(base).draw(3, seed=4)
    assert len(drawn) == 0
    assert [count for count, _ in base.draws] == [3] * SOURCE_ROUNDS
    assert drawn.sources_unusable == 3 * SOURCE_ROUNDS
    build = make_build(sampler(base), spec(3), make_pipeline(ContrastiveTemplate(scaled=True)))
    assert len(build.samples) == 0 and not build.rewards and not build.scores
    found = metrics_of(build)
    assert (found["shortfall"], found["sources_unusable"]) == (3, 3 * SOURCE_ROUNDS * (1 + REDRAW_ROUNDS))
    assert found["improvement"] is None and found["similarity"] is None and found["pair_rewards"] is None


def test_when_the_sources_are_exhausted_there_are_fewer_pairs() -> None:
    drawn = sampler(Listed(["CCN", "CCO"]), repeats=2).draw(9, seed=4)
    assert drawn.source_smiles == ["CCN", "CCN", "CCO", "CCO"]


def test_quota_0_draws_nothing(make_pipeline: MakePipeline) -> None:
    assert len(sampler(Listed(MOLECULES)).draw(0, seed=4)) == 0
    build = make_build(sampler(Listed(MOLECULES)), spec(0), make_pipeline(ContrastiveTemplate()))
    assert len(build.samples) == 0
    assert metrics_of(build)["shortfall"] == 0


def test_a_draw_follows_from_its_seed_and_any_sampler_can_be_the_base() -> None:
    torch.manual_seed(2)
    model = GRULanguageModel(GRUArchitecture(len(CHAINS), embedding_size=16, hidden_size=32, max_length=6)).eval()
    policy = Policy(model, CHAINS, "base")
    base = ModelSampler("base", lambda: policy)
    nested = sampler(sampler(base), sampling=Sampling(0.8, 2))
    one, two, other = (nested.draw(20, seed) for seed in (1, 1, 2))
    assert one.raw == two.raw and one.source_smiles == two.source_smiles
    assert np.array_equal(one.rows.log_probs, two.rows.log_probs)
    assert one.source_smiles != other.source_smiles
    assert set(one.source_rows) == {None}


def test_the_output_model_has_to_be_conditional() -> None:
    policy = Policy(GRULanguageModel(GRUArchitecture(len(CHAINS), embedding_size=4, hidden_size=8)), CHAINS, "gru")
    with pytest.raises(ConditionError, match=r"output_model .*'pairs' .*'gru'"):
        ContrastiveSampler("pairs", Listed(MOLECULES), lambda: policy)
    with pytest.raises(ValueError, match="repeats"):
        sampler(Listed(MOLECULES), repeats=0)


@pytest.mark.parametrize("event", Event)
def test_r24_a_build_of_pairs_has_the_sources_the_rewards_of_both_kinds_and_the_model(
    make_pipeline: MakePipeline, event: Event
) -> None:
    template = ContrastiveTemplate(scaled=True)
    pipeline = make_pipeline(template)
    pairs = sampler(Listed(MOLECULES * 20), repeats=2)
    build = make_build(pairs, spec(12, event), pipeline)
    samples, objective = build.samples, pipeline.scorer.objective
    assert build.policy_sha256 == pairs.output_model().sha256 and build.sampler_kind == "contrastive"
    assert samples.kept.sum() == 12
    assert samples.source_smiles is not None and samples.source_rows is not None
    for row in range(len(samples)):
        stored = samples.source_rows[row]
        assert samples.source_smiles[row] == standardise_smiles((MOLECULES * 20)[stored.row])
    assert CHAINS.decode(samples.rows.source_tokens, samples.rows.source_lengths) == list(samples.source_smiles)
    plain = {each.row: each.value for each in build.rewards if each.objective_sha256 == objective.sha256}
    paired = {each.row: each.value for each in build.rewards if each.objective_sha256 != objective.sha256}
    assert set(plain) == set(paired) == set(np.flatnonzero(samples.kept).tolist())
    assert {each.objective_sha256 for each in build.rewards} == {
        build.objective_sha256,
        template.objective_sha256(objective),
    }
    for row, value in paired.items():
        target, source = carbon(samples.smiles[row]), carbon(samples.source_smiles[row])
        assert plain[row] == pytest.approx(target)
        room = 1 - source if target >= source else source
        assert value == pytest.approx((target - source) / room if room else 0)
    ends = {text for row in plain for text in (samples.smiles[row], samples.source_smiles[row])}
    assert Counter(score.smiles for score in build.scores) == dict.fromkeys(ends, 1)
    found = metrics_of(build)
    assert found["rewards"] == pytest.approx(np.mean(list(plain.values())))
    assert found["pair_rewards"] == pytest.approx(np.mean(list(paired.values())))
    expected = np.mean([plain[row] - carbon(samples.source_smiles[row]) for row in plain])
    assert found["improvement"] == pytest.approx(expected)
    assert found["kept"] == 12 and found["shortfall"] == 0


def test_pairs_are_refused_by_name_and_quotas_count_those_that_are_kept(make_pipeline: MakePipeline) -> None:
    light = PropertyRange("molecular_weight", maximum=75, name="light")
    short = PropertyRange("molecular_weight", maximum=59, name="short")
    template = ContrastiveTemplate(
        source_filters=(short,), min_similarity=0.2, max_similarity=0.99, min_improvement=0.0
    )
    pipeline = make_pipeline(template, [light], expressible=lambda text: "OCC" not in text)
    build = make_build(sampler(Listed(MOLECULES * 100)), spec(25), pipeline)
    samples = build.samples
    reasons = Counter(samples.rejected_by)
    assert {"light", f"{SOURCE}:short", SIMILARITY, IMPROVEMENT, None} <= set(reasons)
    assert metrics_of(build)["kept"] == reasons[None]
    for row, reason in enumerate(samples.rejected_by):
        if reason in (None, IMPROVEMENT):
            improves = carbon(samples.smiles[row]) >= carbon(samples.source_smiles[row])
            assert improves == (reason is None)
    rewarded = Counter(each.row for each in build.rewards)
    assert rewarded == dict.fromkeys(np.flatnonzero(samples.kept).tolist(), 2)


def test_r8_a_pair_with_an_end_that_the_policy_in_training_cannot_express_is_rejected(
    make_pipeline: MakePipeline,
) -> None:
    pipeline = make_pipeline(expressible=lambda text: "O" not in text)
    samples = make_build(sampler(Listed(MOLECULES * 4)), spec(20), pipeline).samples
    for smiles, source, reason in zip(samples.raw, samples.source_smiles, samples.rejected_by, strict=True):
        if standardise_smiles(smiles) is not None:
            assert reason == (VOCABULARY if "O" in smiles or "O" in source else None)
    assert any("O" in source for source in samples.source_smiles)


def test_r25_a_pair_whose_source_cannot_be_scored_has_a_failed_reward_and_its_target_a_good_one(
    make_pipeline: MakePipeline,
) -> None:
    template = ContrastiveTemplate(min_improvement=-1)
    pipeline = make_pipeline(template, refuse="CCN")
    build = make_build(sampler(Listed(["CCN", "CCCC"] * 50)), spec(10), pipeline)
    identity = template.objective_sha256(pipeline.scorer.objective)
    statuses = Counter()
    for reward in build.rewards:
        source, target = build.samples.source_smiles[reward.row], build.samples.smiles[reward.row]
        failed = target == "CCN" or (source == "CCN" and reward.objective_sha256 == identity)
        assert (reward.status is ScoreStatus.FAILED) == failed == (reward.value is None)
        statuses[reward.objective_sha256 == identity, failed] += 1
    assert statuses[True, True] >= 5 and statuses[True, False] and statuses[False, False]
    assert not math.isnan(metrics_of(build)["improvement"])


def test_a_source_may_be_its_own_target_and_the_best_there_is(make_pipeline: MakePipeline) -> None:
    @dataclass(frozen=True)
    class Copies(Sampler):
        """Draws each source again as its target."""

        base: Listed
        name: str = "copies"
        kind: ClassVar[str] = "copies"
        size: SamplerSize = SamplerSize()

        def draw(self, n: int, seed: int) -> Draw:
            pairs = sampler(self.base).draw(n, seed)
            rows = encode_rows(pairs.source_smiles, CHAINS, pairs.source_smiles)
            return replace(pairs, raw=pairs.source_smiles, rows=rows)

    template = ContrastiveTemplate(scaled=True)
    build = make_build(Copies(Listed(["CCCC", "CCN"])), spec(2), make_pipeline(template))
    paired = [each.value for each in build.rewards if each.objective_sha256 != build.objective_sha256]
    assert build.samples.smiles == build.samples.source_smiles == ["CCCC", "CCN"]
    assert paired == [0, 0] and metrics_of(build)["similarity"] == 1
    different = make_build(Copies(Listed(["CCCC"])), spec(1), make_pipeline(ContrastiveTemplate(max_similarity=0.99)))
    assert different.samples.rejected_by == [SIMILARITY]


def test_without_a_template_only_targets_are_scored(make_pipeline: MakePipeline) -> None:
    build = make_build(sampler(Listed(MOLECULES * 20)), spec(10), make_pipeline())
    kept = {text for text, keep in zip(build.samples.smiles, build.samples.kept, strict=True) if keep}
    assert {score.smiles for score in build.scores} == kept
    assert {reward.objective_sha256 for reward in build.rewards} == {build.objective_sha256}
    assert "improvement" not in metrics_of(build) and metrics_of(build)["sources_unusable"] == 0
