"""R12, R13: whose shares of a batch, and what is in the buffer, iteration by iteration."""

from pathlib import Path

import pytest

from molbuffer.flows.settings.problems import ConfigurationError
from molbuffer.flows.settings.rules import NAME_OF_BUFFER
from molbuffer.flows.settings.settings import Settings, load_settings
from molbuffer.training.batches.buffer import BUFFER

QED = '[[objective.components]]\nkind = "qed"\n'
SMALL = '[[samplers]]\nkind = "model"\nname = "small"\np_batch = 0.004\nbuffer_size = 9\n'
TURNS = """
[[samplers]]
kind = "model"
name = "early"
p_batch = 1.0
until_iteration = 50
[[samplers]]
kind = "model"
name = "late"
p_batch = 1.0
from_iteration = 50
until_iteration = 90
[buffer]
runs = "own"
[campaign]
iterations = 90
"""


def load(tmp_path: Path, text: str) -> Settings:
    path = tmp_path / "campaign.toml"
    path.write_text(QED + text)
    return load_settings(path)


def problem(tmp_path: Path, text: str) -> str:
    with pytest.raises(ConfigurationError) as raised:
        load(tmp_path, text)
    (found,) = raised.value.problems
    return str(found)


def test_a_share_that_is_too_small_for_a_row_is_refused_where_somebody_would_draw_it(tmp_path: Path) -> None:
    refused = "key `samplers[0].p_batch`: 0.004 of a batch of 64 is rounded to no row; raise it or the batch_size, or "
    assert refused in problem(tmp_path, SMALL)
    assert load(tmp_path, "[campaign]\nbatch_size = 128\n" + SMALL)
    assert load(tmp_path, "[campaign]\noffline = true\n" + SMALL)
    assert load(tmp_path, SMALL + "sample_batch = false\n")
    other = SMALL.replace("0.004", "0.5").replace("small", "other")
    assert load(tmp_path, SMALL + "from_iteration = 100\n" + other), "the last iteration is 99"
    assert refused in problem(tmp_path, SMALL + "from_iteration = 99\n" + other)


@pytest.mark.parametrize(
    ("changed", "to", "iteration", "share"),
    [
        ("iterations = 90", "iterations = 91", 90, "1"),
        ("from_iteration = 50", "from_iteration = 60\nbuffer_size = 9", 50, "1"),
        ("p_batch = 1.0\nuntil", "p_batch = 0.75\nuntil", 0, "0.25"),
    ],
)
def test_a_buffer_of_own_rows_that_nobody_has_filled_when_it_is_needed_is_refused(
    tmp_path: Path, changed: str, to: str, iteration: int, share: str
) -> None:
    assert load(tmp_path, TURNS)
    text = TURNS.replace(changed, to)
    expected = f'"own" the buffer is still empty in iteration {iteration}, but {share} of the batch comes from it; give'
    assert expected in problem(tmp_path, text)
    assert load(tmp_path, text.replace("until_iteration = 50", "until_iteration = 50\nbuffer_size = 9"))
    assert load(tmp_path, text.replace('"own"', '"all"'))


def test_no_sampler_has_the_name_that_stored_rows_have_in_the_metrics_of_a_batch(tmp_path: Path) -> None:
    assert NAME_OF_BUFFER == BUFFER
    found = problem(tmp_path, SMALL.replace("0.004", "0.5").replace("small", BUFFER))
    assert found == (
        'line 5, key `samplers[0].name`: "buffer" is the name of stored rows in the metrics; change the name'
    )


def test_a_model_sampler_that_keeps_each_molecule_once_is_asked_for_a_build_as_a_whole(tmp_path: Path) -> None:
    large = SMALL.replace("p_batch = 0.004\nbuffer_size = 9", "buffer_size = 5000")
    assert load(tmp_path, large).samplers[0].table.in_chunks
    assert not load(tmp_path, large + "unique = true\n").samplers[0].table.in_chunks
    inside = (
        '[[samplers]]\nkind = "mutation"\nname = "a"\nbuffer_size = 5\nbase_sampler = { kind = "model", unique = true }'
    )
    assert "`samplers[0].base_sampler.unique`: this key is not known" in problem(tmp_path, inside)
