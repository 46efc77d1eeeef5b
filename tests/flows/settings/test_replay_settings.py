"""The keys of replay: selections with tables inside, and the updates of an iteration."""

from pathlib import Path

import pytest

from molbuffer.flows.settings.problems import ConfigurationError
from molbuffer.flows.settings.settings import Settings, load_settings, warnings_of
from molbuffer.flows.settings.training import selection_of
from molbuffer.samplers.by_scaffold import ByScaffold
from molbuffer.storage import BelowQuantile, Mixture, MixturePart, Prioritized, RankWindow, Selection, Uniform
from molbuffer.training import Replay

HEAD = '[[objective.components]]\nkind = "qed"\n'
LIVE = '[[samplers]]\nkind = "model"\nname = "live"\nbuffer_size = 96\np_batch = 0.5\n'


def load(folder: Path, text: str) -> Settings:
    (folder / "campaign.toml").write_text(text + HEAD + LIVE)
    return load_settings(folder / "campaign.toml")


def problem(folder: Path, text: str) -> tuple[str, str]:
    with pytest.raises(ConfigurationError) as raised:
        load(folder, text)
    (found,) = raised.value.problems
    return found.key, found.message


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ('"rank_window"', RankWindow(1024, 0.01)),
        ('{ kind = "lowest", quantile = 0.25 }', BelowQuantile(0.25)),
        (
            '{ kind = "prioritized", by = "reward", beta = 0.4, anneal = 50 }',
            Prioritized(0.7, by="reward", beta=0.4, anneal=50),
        ),
        (
            '{ kind = "mixture", parts = [{ share = 2, selection = "scaffold" }, { runs = "others", '
            'where = "reward > 0.5", selection = { kind = "rank_window", window = 9 } }, {}] }',
            Mixture(
                (
                    MixturePart(2.0, ByScaffold()),
                    MixturePart(1.0, RankWindow(9), runs="others", where="reward > 0.5"),
                    MixturePart(1.0, Uniform()),
                )
            ),
        ),
    ],
)
def test_selections_are_built_with_their_keys(tmp_path: Path, table: str, expected: Selection) -> None:
    settings = load(tmp_path, f"[buffer]\nselection = {table}\n[offline]\nselection = {table}\n")
    assert selection_of(settings.buffer.selection) == selection_of(settings.offline.selection) == expected
    assert Settings.from_json(settings.to_json()) == settings


@pytest.mark.parametrize(
    ("parts", "key", "message"),
    [
        ("[]", "parts", "1 or more items"),
        ("[{ share = 0 }]", "parts[0].share", "expected a number > 0"),
        ('[{}, { where = "reward > (SELECT 1)" }]', "parts[1].where", "subquery"),
        ('[{ where = "no_such_column" }]', "parts[0].where", "no_such_column"),
        ('[{ selection = "consume_once" }]', "parts[0].selection", "expected one of: each_molecule, lowest"),
        ('[{ selection = { kind = "prioritized", beta = 0.5 } }]', "parts[0]", "leave beta out"),
    ],
)
def test_a_part_that_cannot_be_is_refused_with_its_key(tmp_path: Path, parts: str, key: str, message: str) -> None:
    found = problem(tmp_path, f'[buffer]\nselection = {{ kind = "mixture", parts = {parts} }}\n')
    assert found[0] == f"buffer.selection.{key}"
    assert message in found[1]


def test_the_updates_of_an_iteration(tmp_path: Path) -> None:
    buffer = "[buffer]\nupdate_size = 9\nmax_policy_lag = 5\nrandomise = true\n"
    settings = load(tmp_path, f"[training]\nupdates = 4\nlive_in_updates = true\n{buffer}")
    assert settings.training.replay(settings.buffer) == Replay(4, 9, True, True, 5)
    assert load(tmp_path, "").training.replay(settings.buffer) == Replay(1, 9, False, True, 5)
    assert problem(tmp_path, "[training]\nupdates = 0\n")[0] == "training.updates"
    assert problem(tmp_path, "[buffer]\nupdate_size = 0\n")[0] == "buffer.update_size"


def test_a_warning_counts_the_rows_that_updates_use_up(tmp_path: Path) -> None:
    """A build of 96 rows lasts for three batches of 64, of which 32 rows are stored ones."""
    once = "[campaign]\nbatch_size = 64\n[buffer]\nbuild_every = 3\n"
    assert warnings_of(load(tmp_path, once)) == []
    (warning,) = warnings_of(load(tmp_path, once + "update_size = 16\n[training]\nupdates = 3\n"))
    assert "96 rows and each iteration takes 64" in warning and "in each iteration" in warning
    assert warnings_of(load(tmp_path, once + 'selection = "uniform"\n[training]\nupdates = 3\n')) == []
