"""R13, R20: a model sampler that keeps each molecule once, told by the molecule and not by the string."""

from collections import Counter
from dataclasses import replace

import pytest
import torch

from molbuffer.samplers.builds.build import make_build
from molbuffer.samplers.builds.build_spec import BuildSpec
from molbuffer.samplers.builds.judging import DUPLICATE, Pipeline
from molbuffer.samplers.builds.oracle_calls import OracleCalls
from molbuffer.samplers.builds.rounds import REDRAW_ROUNDS
from molbuffer.samplers.errors import ConditionError
from molbuffer.samplers.model import ModelSampler
from molbuffer.samplers.models.gru import GRUArchitecture, GRULanguageModel
from molbuffer.samplers.models.seq2seq import Seq2SeqArchitecture, Seq2SeqModel
from molbuffer.samplers.policies.policy import Policy
from molbuffer.samplers.scores.scorer import Scorer
from molbuffer.samplers.tokens.vocabulary import RESERVED, Vocabulary
from molbuffer.scoring import Objective, Standardisation, WeightedComponent, standardise_smiles
from molbuffer.scoring.components import QED
from molbuffer.storage.records import Build, Event

CHAINS = Vocabulary((*RESERVED, "C", "N", "O"))


@pytest.fixture
def sampler() -> ModelSampler:
    """Draws chains of at most two atoms: CN and NC, CO and OC, NO and ON are one molecule each."""
    torch.manual_seed(1)
    model = GRULanguageModel(
        GRUArchitecture(len(CHAINS), embedding_size=8, hidden_size=16, layers=1, max_length=2)
    ).eval()
    return ModelSampler("agent", lambda: Policy(model, CHAINS, "gru"), unique=True)


def build(
    sampler: ModelSampler,
    wanted: int,
    event: Event = Event.SAMPLE_BATCH,
    seen: frozenset[str] = frozenset(),
    calls: OracleCalls | None = None,
) -> Build:
    scorer = Scorer(Objective((WeightedComponent(QED()),)))
    pipeline = Pipeline(
        Standardisation(),
        (),
        scorer,
        expressible=CHAINS.can_encode,
        seen=lambda smiles: set(seen.intersection(smiles)),
        calls=calls,
    )
    return make_build(sampler, BuildSpec("run", 1, event, sampler_order=0, wanted=wanted, campaign_seed=3), pipeline)


@pytest.mark.parametrize("event", Event)
def test_repetitions_are_stored_as_rejected_and_others_are_drawn_for_them(sampler: ModelSampler, event: Event) -> None:
    made = build(sampler, 7, event)
    samples = made.samples
    kept = [smiles for smiles, keep in zip(samples.smiles, samples.kept, strict=True) if keep]
    assert len(kept) == len(set(kept)) == 7
    met: set[str] = set()
    for raw, smiles, reason in zip(samples.raw, samples.smiles, samples.rejected_by, strict=True):
        assert smiles == standardise_smiles(raw)
        if smiles is not None:
            assert reason == (DUPLICATE if smiles in met else None)
            met.add(smiles)
    assert DUPLICATE in samples.rejected_by
    assert [reward.row for reward in made.rewards] == [row for row, keep in enumerate(samples.kept) if keep]
    twice = build(replace(sampler, unique=False), 7, event).samples
    assert DUPLICATE not in twice.rejected_by and max(Counter(twice.smiles).values()) > 1


def test_the_strings_of_a_molecule_are_one_and_too_few_molecules_a_shortfall(sampler: ModelSampler) -> None:
    made = build(sampler, 40)
    metrics = {metric.name: metric.value for metric in made.metrics}
    # C, N, O, and a pair of any two of them.
    assert metrics["kept"] == 9 and metrics["shortfall"] == 31
    assert len(made.samples) > 40 + 31 * (REDRAW_ROUNDS - 1)
    assert {"NO", "ON", "CO", "OC"} <= set(made.samples.raw), "of two strings of a molecule one is kept"


@pytest.mark.parametrize("event", Event)
def test_a_molecule_that_the_run_has_drawn_before_is_rejected_without_a_score(
    sampler: ModelSampler, event: Event
) -> None:
    first = build(sampler, 4, event).samples
    seen = frozenset(smiles for smiles in first.smiles[:2] if smiles is not None)
    made = build(replace(sampler, unique="run"), 4, event, seen)
    samples = made.samples
    kept = [smiles for smiles, keep in zip(samples.smiles, samples.kept, strict=True) if keep]
    assert len(kept) == len(set(kept)) > 1 and not seen.intersection(kept)
    again = [reason for smiles, reason in zip(samples.smiles, samples.rejected_by, strict=True) if smiles in seen]
    assert again and set(again) == {DUPLICATE}
    assert {score.smiles for score in made.scores} == set(kept), "no score was asked for"
    (new,) = [metric.value for metric in made.metrics if metric.name == "new"]
    assert new == 1
    within = build(sampler, 4, event, seen).samples
    assert any(smiles in seen for smiles, keep in zip(within.smiles, within.kept, strict=True) if keep)


def test_a_policy_that_takes_sources_is_refused_before_anything_is_drawn() -> None:
    policy = Policy(
        Seq2SeqModel(Seq2SeqArchitecture(len(CHAINS), hidden_size=16, encoder_layers=1, decoder_layers=1, heads=2)),
        CHAINS,
        "seq2seq",
    )
    with pytest.raises(ConditionError, match=r"sampler 'agent' .* 'seq2seq', .* sources; .* output_model"):
        ModelSampler("agent", lambda: policy)


def test_r26_a_molecule_that_the_run_has_drawn_before_without_asking_for_it_costs_no_call(
    sampler: ModelSampler,
) -> None:
    # Drawn before: all but C, N and O.
    seen, calls = frozenset({"CC", "CN", "CO", "NN", "NO", "OO"}), OracleCalls(2)
    samples = build(replace(sampler, unique="run"), 40, seen=seen, calls=calls).samples
    kept = {smiles for smiles, keep in zip(samples.smiles, samples.kept, strict=True) if keep}
    assert calls.count == len(kept) == 2
    assert kept < {"C", "N", "O"}
    reasons = dict(zip(samples.smiles, samples.rejected_by, strict=True))
    assert {reasons[smiles] for smiles in seen if smiles in reasons} == {DUPLICATE}
