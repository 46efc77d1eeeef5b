"""A file inside another sampler is gone through once before a row comes again, as it is outside."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
import torch

from molbuffer.samplers.base import Draw, Sampler
from molbuffer.samplers.builds.build import make_build
from molbuffer.samplers.builds.build_spec import BuildSpec
from molbuffer.samplers.builds.drawn_counts import DrawCounts
from molbuffer.samplers.builds.judging import Pipeline
from molbuffer.samplers.contrastive import ContrastiveSampler
from molbuffer.samplers.dataset import DatasetSampler
from molbuffer.samplers.files.epochs import EpochPosition, epoch_sampler
from molbuffer.samplers.graph_ga import GraphGASampler
from molbuffer.samplers.models.seq2seq import Seq2SeqArchitecture, Seq2SeqModel
from molbuffer.samplers.mutation import MutationSampler
from molbuffer.samplers.policies.policy import Policy
from molbuffer.samplers.scores.scorer import Scorer
from molbuffer.samplers.tokens.vocabulary import RESERVED, Vocabulary
from molbuffer.scoring import Objective, Standardisation, WeightedComponent
from molbuffer.scoring.components import QED
from molbuffer.storage.records import Event, Samples

CHAINS = Vocabulary((*RESERVED, "C", "N", "O"))
MOLECULES = ["C", "CC", "CCC", "CCCC", "CN", "CCN", "CCCN", "CO", "CCO", "CCCO", "NCO", "NCCO"]


@dataclass(frozen=True)
class Noted(DatasetSampler):
    """A file that notes which of its rows were drawn in turn, and how many out of turn."""

    in_turn: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)

    def draw(self, n: int, seed: int) -> Draw:
        drawn = super().draw_from(EpochPosition(0, seed), n, seed)
        self.others.extend(drawn.raw)
        return drawn

    def draw_from(self, position: EpochPosition, n: int, seed: int) -> Draw:
        drawn = super().draw_from(position, n, seed)
        self.in_turn.extend(drawn.raw)
        return drawn


def noted(tmp_path: Path, molecules: Sequence[str] = MOLECULES) -> Noted:
    path = tmp_path / "molecules.smi"
    path.write_text("\n".join(molecules))
    return Noted("file", path, CHAINS)


def contrastive(base: Sampler, repeats: int = 1) -> ContrastiveSampler:
    torch.manual_seed(0)
    policy = Policy(
        Seq2SeqModel(
            Seq2SeqArchitecture(len(CHAINS), hidden_size=16, encoder_layers=1, decoder_layers=1, heads=2, max_length=8)
        ).eval(),
        CHAINS,
        "pairs",
    )
    return ContrastiveSampler("pairs", base, lambda: policy, repeats=repeats)


def run(sampler: Sampler, wanted: Sequence[int]) -> list[Samples]:
    """The rows of several builds of a run, now of the buffer, now live, each of which begins where the last ended."""
    scorer = Scorer(Objective((WeightedComponent(QED()),)))
    pipeline = Pipeline(Standardisation(), (), scorer, expressible=CHAINS.can_encode, seen=lambda _: set())
    drawn, made = DrawCounts(), []
    for number, n in enumerate(wanted):
        event = list(Event)[number % 2]
        place = BuildSpec(
            "run", number, event, sampler_order=0, wanted=n, campaign_seed=1, drawn_before=drawn.of(sampler.name)
        )
        made.append(make_build(sampler, place, pipeline).samples)
        drawn.add(sampler.name, len(made[-1]))
    return made


@pytest.mark.parametrize("repeats", [1, 3])
def test_each_source_has_its_targets_before_one_comes_again(tmp_path: Path, repeats: int) -> None:
    builds = run(contrastive(noted(tmp_path), repeats), [2, 5, 1, 4, 3, 6, 2, 7])
    sources = [source for samples in builds for source in samples.source_smiles or ()]
    epoch = repeats * len(MOLECULES)
    assert len(sources) > epoch, "refused targets are drawn again, from sources that are next"
    assert Counter(sources[:epoch]) == dict.fromkeys(MOLECULES, repeats)
    assert all(len(set(sources[at : at + repeats])) == 1 for at in range(0, epoch, repeats))


def test_parents_of_mutants_are_gone_through_and_so_are_those_inside_two_samplers(tmp_path: Path) -> None:
    file = noted(tmp_path)
    run(MutationSampler("mutants", contrastive(file), CHAINS, valid_only=False), [5, 3, 2, 4])
    assert sorted(file.in_turn[: len(MOLECULES)]) == sorted(MOLECULES)
    alone = noted(tmp_path)
    (samples, *_) = run(MutationSampler("mutants", alone, CHAINS), [len(MOLECULES), 3])
    assert sorted(alone.in_turn[: len(MOLECULES)]) == sorted(MOLECULES)
    assert len(samples) == len(MOLECULES) and not alone.others


def test_what_cannot_be_used_of_a_file_is_made_up_for_and_left_behind(tmp_path: Path) -> None:
    rows = [*MOLECULES[:6], "no!", "C(!", "!!", "%!"]
    for make in (contrastive, lambda file: MutationSampler("mutants", file, CHAINS)):
        file = noted(tmp_path, rows)
        made = run(make(file), [1] * 15)
        assert [samples.kept.sum() for samples in made] == [1] * 15
        assert set(file.in_turn) == set(rows)
        assert len(file.others) >= 4


def test_it_goes_on_where_what_is_inside_does(tmp_path: Path) -> None:
    file = noted(tmp_path)
    with_replacement = replace(file, replacement=True)
    for base, expected in ((file, True), (with_replacement, False)):
        inside = MutationSampler("mutants", contrastive(base), CHAINS)
        assert (epoch_sampler(base) is base, epoch_sampler(inside) is inside) == (expected, expected)
    assert epoch_sampler(GraphGASampler("children", None, file, CHAINS)) is None  # type: ignore[arg-type]
