"""``--set``: values that stand instead of those of the file."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from molbuffer.flows.settings.overrides import Override
from molbuffer.flows.settings.problems import ConfigurationError
from molbuffer.flows.settings.settings import Settings, load_settings, warnings_of
from molbuffer.scoring import Standardisation

TEXT = """
[[objective.components]]
kind = "qed"
[[samplers]]
kind = "model"
name = "live"
buffer_size = 10
p_batch = 0.5
"""


def load(folder: Path, *options: str, text: str = TEXT) -> Settings:
    path = folder / "campaign.toml"
    path.write_text(text)
    return load_settings(path, [Override.parse(option) for option in options])


def test_values_are_those_of_toml_and_a_plain_text_needs_no_quotes(tmp_path: Path) -> None:
    settings = load(
        tmp_path,
        "training.sigma=256",
        "campaign.name=second",
        'samplers[0].policy = "prior"',
        "samplers[live].p_batch=0.25",
        "objective.components[0].weight=2.0",
        "policy.agent=run:0a1b2c",
    )
    assert (settings.training.sigma, settings.campaign.name, settings.policy.agent) == (256, "second", "run:0a1b2c")
    [sampler] = settings.samplers
    assert (sampler.p_batch, sampler.buffer_size, sampler.table.policies) == (0.25, 10, ("prior",))
    assert settings.objective.build(Standardisation()).components[0].weight == 2.0


def test_a_relative_path_starts_at_the_folder_of_the_file(tmp_path: Path, small_prior: Path) -> None:
    shutil.copytree(small_prior, tmp_path / "mine")
    assert load(tmp_path, "policy.prior=mine").policy.prior == str(tmp_path / "mine")


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        ("training.sigm=1", "key `training.sigm`: this key is not known; did you mean `sigma`?"),
        ("training.sigma=-1", "key `training.sigma`: got -1, expected a number > 0 (--set training.sigma=-1)"),
        ("campaign.seed=x", 'key `campaign.seed`: got "x", expected a whole number (--set campaign.seed=x)'),
        ("samplers[1].p_batch=1.0", "key `samplers[1]`: there is no such item; the list has the positions 0 to 0, and"),
        ("samplers[dead].p_batch=1.0", "and the names live (--set samplers[dead].p_batch=1.0)"),
        ("campaign[0]=1", "key `campaign`: this is a table, expected a list"),
        ("campaign.name.first=1", "key `campaign.name`: this is "),
    ],
)
def test_a_value_that_cannot_be_is_named_with_its_option(tmp_path: Path, option: str, expected: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        load(tmp_path, option, text='[campaign]\nname = "x"\n' + TEXT)
    [problem] = raised.value.problems
    assert expected in str(problem)
    assert problem.line is None


LISTS = """
[objective]
components = [
    { kind = "qed" },
    { kind = "property", property = "logp", transform = { kind = "sigmoid", low = 0, high = 1 } },
    { kind = "similarity", name = "like", target = "CCO" },
    { kind = "similarity", name = "unlike", target = "CCN" },
]
[[filters]]
kind = "ring_size"
min = 3
[[filters]]
kind = "property"
name = "tpsa"
max = 90
[[filters]]
kind = "substructure"
must_have = ["C"]
label = "carbon"
[[samplers]]
kind = "model"
name = "live"
p_batch = 1.0
"""


@pytest.mark.parametrize(
    ("option", "read"),
    [
        ("objective.components[qed].weight=2.0", lambda settings: settings.objective.components[0].weight),
        ("objective.components[logp].weight=2.0", lambda settings: settings.objective.components[1].weight),
        ("objective.components[unlike].weight=2.0", lambda settings: settings.objective.components[3].weight),
        ("filters[ring_size].max=2", lambda settings: settings.filters[1].max),
        ("filters[tpsa].max=2.0", lambda settings: settings.filters[2].max),
        ("filters[carbon].must_have=[]", lambda settings: 2.0 - len(settings.filters[3].must_have)),
    ],
)
def test_a_table_of_any_list_is_named_by_what_it_is_known_by(
    tmp_path: Path, option: str, read: Callable[[Settings], float]
) -> None:
    text = LISTS.replace('must_have = ["C"]', 'must_have = ["C"]\nmust_not_have = ["N"]').replace("min = 3", "min = 1")
    assert read(load(tmp_path, option, text=text)) == 2.0


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        (
            "objective.components[similarity].weight=2.0",
            "the items 2 and 3 have this kind; name one by its position, such as [2]",
        ),
        ("objective.components[qud].weight=2.0", "the positions 0 to 3, and the names qed, logp, like, unlike"),
        ("filters.max=2", "the positions 0 to 2, and the names ring_size, tpsa, carbon"),
    ],
)
def test_a_name_of_no_table_or_of_two_is_answered_with_how_to_name_one(
    tmp_path: Path, option: str, expected: str
) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(expected)):
        load(tmp_path, option, text=LISTS)


@pytest.mark.parametrize("option", ["training.sigma", "=1", "training..sigma=1", "a[b=1", 'campaign.name="x', "a=1 2"])
def test_an_option_of_another_form_is_refused(option: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        Override.parse(option)


def test_a_buffer_that_cannot_last_until_the_next_build_is_a_warning(tmp_path: Path) -> None:
    [warning] = warnings_of(load(tmp_path))
    # Ten rows for batches that take 32: one build an iteration.
    assert "a build gives 10 rows and each iteration takes 32" in warning
    assert "buffer_size of 320 in all" in warning
    assert warnings_of(load(tmp_path, "samplers[0].buffer_size=320")) == []
    assert warnings_of(load(tmp_path, "samplers[0].buffer_size=319")) != []
    assert (
        warnings_of(
            load(tmp_path, "samplers[0].buffer_size=160", 'buffer.selection={kind = "consume_once", epochs = 2}')
        )
        == []
    )
    assert warnings_of(load(tmp_path, "buffer.selection=uniform")) == []
    assert warnings_of(load(tmp_path, "samplers[0].p_batch=1.0")) == []


def test_evaluations_beyond_their_budget_are_a_warning(tmp_path: Path) -> None:
    options = ["samplers[0].buffer_size=320", "offline.steps=100", "offline.evaluation.draws=50"]
    [warning] = warnings_of(load(tmp_path, *options, *_evaluation(every=25, max_oracle_calls=199)))
    assert "4 evaluations of 50 draws" in warning
    assert "allows 199: 50 are kept" in warning
    assert warnings_of(load(tmp_path, *options, *_evaluation(every=25, max_oracle_calls=200))) == []
    assert warnings_of(load(tmp_path, *options, *_evaluation(every=0, max_oracle_calls=50))) == []


def _evaluation(**keys: int) -> list[str]:
    return [f"offline.evaluation.{key}={value}" for key, value in keys.items()]
