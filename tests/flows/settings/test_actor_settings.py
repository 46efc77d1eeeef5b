"""The ``[actors]`` table: settings with which learner and actors would wait for each other are refused, in numbers."""

import re
from pathlib import Path

import pytest

from molbuffer.flows.settings.resuming import changes
from molbuffer.flows.settings.settings import ConfigurationError, Settings, load_settings, warnings_of

CONFIG = """
[campaign]
batch_size = 16

[policy]
prior = "zinc-gru"

[objective]
[[objective.components]]
kind = "qed"

[[samplers]]
kind = "model"
name = "live"
buffer_size = 24

[training]
mode = "async"

[actors]
min_rows = 40
"""


def loaded(folder: Path, text: str) -> Settings:
    path = folder / "campaign.toml"
    path.write_text(text)
    return load_settings(path)


def problems(folder: Path, text: str) -> dict[str, str]:
    with pytest.raises(ConfigurationError) as told:
        loaded(folder, text)
    return {problem.key: problem.message for problem in told.value.problems}


def test_the_defaults_are_twice_the_least_band_and_what_it_needs(tmp_path: Path) -> None:
    without = CONFIG.replace("[actors]\nmin_rows = 40\n", "")
    settings = loaded(tmp_path, without)
    limit = settings.rates.limit
    assert (limit.samples_per_insert, limit.tolerance, limit.min_rows) == (1.0, 16 + 24, 40)
    uniform = loaded(tmp_path, f'{without}[buffer]\nselection = "uniform"')
    assert uniform.rates.limit.min_rows == 16


def test_further_updates_count_and_live_rows_do_not(tmp_path: Path) -> None:
    text = CONFIG.replace("buffer_size", "p_batch = 0.25\nbuffer_size").replace(
        'mode = "async"', 'updates = 3\nmode = "async"'
    )
    settings = loaded(tmp_path, text.replace("min_rows = 40", "min_rows = 80"))
    # 12 of the batch, and two updates of 16 rows each.
    assert (settings.rates.sampled, settings.rates.inserted) == (12 + 2 * 16, 24)
    assert settings.rates.of_batch(0) == 12


@pytest.mark.parametrize(
    ("old", "new", "key", "message"),
    [
        ("min_rows = 40", "min_rows = 40\ntolerance = 19", "actors.tolerance", r"2 x tolerance >= 16 \+ 1 x 24 = 40"),
        (
            "min_rows = 40",
            "min_rows = 40\nsamples_per_insert = 3\ntolerance = 40",
            "actors.tolerance",
            r"16 \+ 3 x 24 = 88 .* at least 44",
        ),
        ("min_rows = 40", "min_rows = 80\nsamples_per_insert = 2", "actors.samples_per_insert", "at most 1"),
        ("min_rows = 40", "min_rows = 39", "actors.min_rows", r"1 x 39 = 39 .* tolerance 40; expected min_rows >= 40"),
        ("[actors]", '[buffer]\nselection = { kind = "top_k", k = 15 }\n[actors]', "actors.min_rows", "offers 15"),
        (
            "[actors]",
            '[buffer]\nselection = { kind = "quantile", quantile = 0.9 }\n[actors]',
            "actors.min_rows",
            "offers 4",
        ),
        ("[actors]", "[buffer]\nmax_policy_lag = 10\n[actors]", "buffer.max_policy_lag", "at least 18"),
        (
            "[actors]",
            '[buffer]\nselection = { kind = "recent", max_iterations = 5 }\n[actors]',
            "buffer.selection",
            "older than 5 iterations",
        ),
        (
            'mode = "async"',
            'mode = "async"\nloss = "reinforce"',
            "training.mode",
            "the loss reinforce .* an earlier policy",
        ),
        ("buffer_size = 24", "p_batch = 1.0\nbuffer_size = 24", "training.mode", "drawn live"),
        ("buffer_size = 24", "p_batch = 0.5", "samplers", "takes 8 rows .* no sampler has a buffer_size"),
        ("buffer_size = 24", "buffer_size = 24\nfrom_iteration = 5", "samplers", "for iteration 0, which takes 16"),
        ("[actors]", '[diversity]\nbuckets = "scaffold"\npurge = true\n[actors]', "diversity.purge", "set it to false"),
        ("[actors]", "[screening]\n[actors]", "screening", "its own scores alone"),
        ("[actors]", "[[stages]]\niterations = 5\n[[stages]]\n[actors]", "stages[0]", "actors cannot follow stages"),
    ],
)
def test_what_an_asynchronous_training_cannot_have(tmp_path: Path, old: str, new: str, key: str, message: str) -> None:
    assert old in CONFIG
    found = problems(tmp_path, CONFIG.replace(old, new))
    assert key in found, found
    assert re.search(message, found[key]), found[key]


def test_an_offline_training_of_the_same_file_is_not_asked(tmp_path: Path) -> None:
    text = CONFIG.replace("min_rows = 40", "tolerance = 1").replace("[campaign]", "[campaign]\noffline = true")
    assert loaded(tmp_path, text).campaign.offline


def test_a_table_without_its_mode_is_warned_of(tmp_path: Path) -> None:
    sync = loaded(tmp_path, CONFIG.replace('"async"', '"sync"'))
    assert any("[actors] has no effect" in text for text in warnings_of(sync))
    assert any("build_every" in text for text in warnings_of(sync))
    # When an actor builds is a matter of the band, and not of build_every.
    assert warnings_of(loaded(tmp_path, CONFIG)) == []


def test_what_keeps_both_in_step_stays_in_a_run(tmp_path: Path) -> None:
    known = loaded(tmp_path, CONFIG).to_json()
    more = "local = 2\nwait_minutes = 5.0\nrepin_every = 3\ntolerance = 30.0"
    after = loaded(tmp_path, CONFIG.replace("min_rows = 40", f"min_rows = 40\n{more}"))
    assert {change.key: change.allowed for change in changes(known, after)} == {
        "actors.local": True,
        "actors.wait_minutes": True,
        "actors.repin_every": True,
        "actors.tolerance": False,
    }
