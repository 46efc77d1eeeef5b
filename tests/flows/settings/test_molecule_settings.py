"""The settings that decide what a molecule is: standardisation, the filter that every campaign has, patterns."""

from pathlib import Path

import pytest

from molbuffer.flows.campaign.assemble import build_filters, build_objective, build_standardisation
from molbuffer.flows.settings.problems import ConfigurationError
from molbuffer.flows.settings.settings import Settings, load_settings
from molbuffer.scoring import Standardisation, judge_many

QED = '[[objective.components]]\nkind = "qed"\n'
LIVE = '[[samplers]]\nkind = "model"\nname = "live"\npolicy = "agent"\nbuffer_size = 8\np_batch = 0.5\n'


def load(folder: Path, text: str) -> Settings:
    path = folder / "campaign.toml"
    path.write_text(text)
    return load_settings(path)


def test_every_campaign_refuses_radicals_unless_it_says_not_to(tmp_path: Path) -> None:
    others = '[[filters]]\nkind = "single_component"\n'
    off = '[[filters]]\nkind = "valence"\nreject = []\n'
    named = others + '[[filters]]\nkind = "valence"\nreject = ["radicals"]\nlabel = "odd"\n'
    cases = {
        "": ["valence"],
        others: ["valence", "single_component"],
        off: ["valence"],
        named: ["single_component", "odd"],
    }
    for text, names in cases.items():
        settings = load(tmp_path, text + QED + LIVE)
        assert [each.name for each in build_filters(settings)] == names
        assert Settings.from_json(settings.to_json()) == settings
        (kept,) = judge_many(["C[CH2]"], build_filters(settings))
        assert (kept.rejected_by is None) == (text == off)


TOP = Path(__file__).parents[3]
CAMPAIGNS = sorted([*TOP.glob("examples/*.toml"), TOP / "flows/tools/demo.toml", TOP / "flows/settings/example.toml"])


@pytest.mark.parametrize("path", CAMPAIGNS, ids=[path.name for path in CAMPAIGNS])
def test_the_campaigns_that_come_along_refuse_radicals(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(path.parent)
    (kept,) = judge_many(["C[CH2]"], build_filters(load_settings(path))[:1])
    assert kept.rejected_by == "valence"


def test_r6_the_standardisation_is_part_of_what_a_run_records(tmp_path: Path) -> None:
    keys = "[standardisation]\nneutralise = true\ncanonical_tautomer = true\nmax_length = 500\n"
    target = '[[objective.components]]\nkind = "similarity"\ntarget = "Oc1ccccn1"\n'
    settings = load(tmp_path, keys + target + LIVE)
    assert build_standardisation(settings) == Standardisation(
        largest_fragment=True, neutralise=True, canonical_tautomer=True, max_length=500
    )
    assert Settings.from_json(settings.to_json()) == settings
    (component,) = build_objective(settings).components
    assert component.component.name == "similarity:O=c1cccc[nH]1"
    plain = load(tmp_path, target + LIVE)
    assert build_standardisation(plain) == Standardisation(largest_fragment=True)
    assert settings.sha256 != plain.sha256
    assert build_objective(settings).sha256 != build_objective(plain).sha256


def test_stereochemistry_is_dropped_from_targets_as_well(tmp_path: Path) -> None:
    target = '[[objective.components]]\nkind = "similarity"\ntarget = "C[C@H](N)C(=O)O"\n'
    settings = load(tmp_path, '[standardisation]\nstereo = "drop"\n' + target + LIVE)
    assert build_standardisation(settings) == Standardisation(largest_fragment=True, stereo="drop")
    (component,) = build_objective(settings).components
    assert component.component.name == "similarity:CC(N)C(=O)O"
    with pytest.raises(ConfigurationError, match=r"standardisation\.stereo"):
        load(tmp_path, '[standardisation]\nstereo = "both"\n' + target + LIVE)


@pytest.mark.parametrize("smarts", ["[C;N]", "[H]", "[#6,#1]N", "[H][C@](F)(Cl)Br"])
def test_a_pattern_that_can_match_nothing_is_a_problem_of_its_line(tmp_path: Path, smarts: str) -> None:
    component = f'[[objective.components]]\nkind = "substructure"\nsmarts = "{smarts}"\n'
    rejecting = f'[[filters]]\nkind = "substructure"\nmust_not_have = ["CC", "{smarts}"]\n'
    with pytest.raises(ConfigurationError) as caught:
        load(tmp_path, rejecting + component + LIVE)
    keys = {problem.key for problem in caught.value.problems}
    assert keys == {"filters[0].must_not_have[1]", "objective.components[0].smarts"}
