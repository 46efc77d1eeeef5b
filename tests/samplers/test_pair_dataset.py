"""Pairs of a file: sources and targets stay together, whatever of them cannot be read or expressed."""

from pathlib import Path

import numpy as np
import pytest

from molbuffer.samplers.builds.build import make_build
from molbuffer.samplers.builds.build_spec import BuildSpec
from molbuffer.samplers.builds.judging import VOCABULARY, Pipeline
from molbuffer.samplers.errors import SmilesFileError
from molbuffer.samplers.files.epochs import EpochPosition
from molbuffer.samplers.pair_dataset import PairDatasetSampler
from molbuffer.samplers.scores.scorer import Scorer
from molbuffer.samplers.tokens.vocabulary import RESERVED, Vocabulary
from molbuffer.scoring import ContrastiveTemplate, Objective, Standardisation, WeightedComponent
from molbuffer.scoring.components import QED
from molbuffer.scoring.filters import VALIDITY
from molbuffer.scoring.pairs import SIMILARITY, SOURCE
from molbuffer.storage.records import Event

CHAINS = Vocabulary((*RESERVED, "C", "N", "O", "("))
PAIRS = {
    "CCO": "CCN",
    "NCC": "OCCC",
    "C(": "CCC",
    "CS": "CCCC",
    "?!": "CCCCC",
    "": "CCCCCC",
    "CCCN": "",
    "CCCO": "CS",
    "CCCCO": "C(",
    "CCCCN": "O",
}
CANONICAL = {"NCC": "CCN"}
REFUSED = {
    "": VALIDITY,
    "CS": VOCABULARY,
    "C(": VALIDITY,
    "CCC": SOURCE,
    "CCCC": VOCABULARY,
    "CCCCC": SOURCE,
    "CCCCCC": SOURCE,
    "O": SIMILARITY,
}


@pytest.fixture
def sampler(tmp_path: Path) -> PairDatasetSampler:
    path = tmp_path / "pairs.csv"
    path.write_text("".join(f"{a},x,{b}\n" for a, b in {"source": "target", **PAIRS}.items()))
    return PairDatasetSampler("pairs", path, CHAINS)


@pytest.fixture
def pipeline() -> Pipeline:
    scorer = Scorer(Objective((WeightedComponent(QED()),)))
    template = ContrastiveTemplate(min_similarity=0.01)
    return Pipeline(
        Standardisation(), (), scorer, expressible=CHAINS.can_encode, seen=lambda _: set(), template=template
    )


def test_a_draw_goes_through_all_pairs_and_keeps_ends_together(sampler: PairDatasetSampler) -> None:
    drawn = sampler.draw(len(PAIRS), seed=3)
    assert drawn.source_smiles is not None
    written = {CANONICAL.get(source, source): target for source, target in PAIRS.items()}
    assert dict(zip(drawn.source_smiles, drawn.raw, strict=True)) == written
    assert drawn.source_rows == [None] * len(PAIRS)
    for ends, tokens, lengths in [
        (drawn.raw, drawn.rows.tokens, drawn.rows.lengths),
        (drawn.source_smiles, drawn.rows.source_tokens, drawn.rows.source_lengths),
    ]:
        expressed = [text if CHAINS.can_encode(text) else "" for text in ends]
        assert CHAINS.decode(tokens, lengths) == expressed
        assert [length == 0 for length in lengths] == [not CHAINS.can_encode(text) for text in ends]
    inside = np.arange(drawn.rows.tokens.shape[1]) < drawn.rows.lengths[:, None]
    assert np.isnan(drawn.rows.log_probs[inside]).all() and (drawn.rows.log_probs[~inside] == 0).all()


def test_the_same_place_gives_the_same_pairs(sampler: PairDatasetSampler) -> None:
    whole = sampler.draw_from(EpochPosition(0, 1), 25, seed=2)
    part = sampler.draw_from(EpochPosition(7, 1), 6, seed=3)
    assert whole.source_smiles is not None and part.source_smiles is not None
    assert (whole.raw[7:13], whole.source_smiles[7:13]) == (part.raw, part.source_smiles)


@pytest.mark.parametrize("event", Event)
def test_r24_what_cannot_be_read_or_expressed_is_stored_as_rejected_with_a_reason(
    sampler: PairDatasetSampler, pipeline: Pipeline, event: Event
) -> None:
    spec = BuildSpec("run", 0, event, sampler_order=0, wanted=len(PAIRS), campaign_seed=4)
    samples = make_build(sampler, spec, pipeline).samples
    assert samples.source_smiles is not None
    rejected = dict(zip(samples.raw, samples.rejected_by, strict=True))
    assert {text for text, reason in rejected.items() if reason is None} == {"CCN", "OCCC"}
    assert {text: reason for text, reason in rejected.items() if reason} == REFUSED
    assert sorted(samples.raw[: len(PAIRS)]) == sorted(PAIRS.values()), "the first ten are an epoch"
    source_of = {target: CANONICAL.get(source, source) for source, target in PAIRS.items()}
    for raw, source in zip(samples.raw, samples.source_smiles, strict=True):
        assert source == (source_of[raw] if source_of[raw] not in ("C(", "?!", "") else None)


def test_names_of_columns_can_be_chosen_and_must_be_there(tmp_path: Path) -> None:
    path = tmp_path / "pairs.csv"
    path.write_text("before,after\nCC,CO\n")
    drawn = PairDatasetSampler(
        "pairs", path, CHAINS, source_column="before", target_column="after", replacement=True
    ).draw(3, seed=0)
    assert drawn.source_smiles is not None
    assert (drawn.source_smiles, drawn.raw) == (["CC"] * 3, ["CO"] * 3)
    with pytest.raises(SmilesFileError, match=r"'source'.* before, after"):
        PairDatasetSampler("pairs", path, CHAINS).draw(1, seed=0)
