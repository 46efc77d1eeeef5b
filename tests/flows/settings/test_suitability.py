"""R22: a configuration that gives a loss rows it is not valid on is refused, with the sampler or the selection."""

from pathlib import Path

import pytest

from molbuffer.flows.settings.problems import ConfigurationError
from molbuffer.flows.settings.settings import load_settings, warnings_of

HEAD = '[[objective.components]]\nkind = "qed"\n[training]\nloss = {loss}\n'
AGENT = '[[samplers]]\nkind = "model"\nname = "agent"\np_batch = {share}\n'
MOLECULES = '[[samplers]]\nkind = "{kind}"\nname = "other"\np_batch = 0.25\n'
FILE = MOLECULES.format(kind="dataset") + 'path = "some.smi"\n'
MUTANTS = MOLECULES.format(kind="mutation") + 'base_sampler = { kind = "model" }\n'
HISTORY = MOLECULES.format(kind="history")
PPO = HEAD.format(loss='"ppo"')


def problems(folder: Path, text: str) -> dict[str, str]:
    (folder / "some.smi").write_text("CCO\n")
    (folder / "campaign.toml").write_text(text)
    try:
        load_settings(folder / "campaign.toml")
    except ConfigurationError as error:
        return {problem.key: problem.message for problem in error.problems}
    return {}


def on_policy(other: str = "", *, more: str = "") -> str:
    """A configuration with REINFORCE; keys more in the sampler of the agent."""
    share = 0.75 if other else 1.0
    return HEAD.format(loss='"reinforce"') + AGENT.format(share=share) + more + other


def test_a_loss_that_is_valid_on_policy_has_the_draws_of_the_agent(tmp_path: Path) -> None:
    assert problems(tmp_path, on_policy()) == {}
    latent = MOLECULES.format(kind="prior") + 'policy = "agent"\n'
    assert problems(tmp_path, '[policy]\nprior = "zinc-vae"\n' + on_policy(latent)) == {}
    # A sampler that only fills the buffer gives no row.
    assert problems(tmp_path, on_policy(FILE.replace("p_batch = 0.25", "buffer_size = 8")).replace("0.75", "1.0")) == {}


@pytest.mark.parametrize(
    ("other", "why"),
    [
        (FILE, "gives other rows"),
        (MUTANTS, "gives other rows"),
        (HISTORY, "gives other rows"),
        (MOLECULES.format(kind="model") + 'policy = "prior"\n', 'draws from the policy "prior"'),
        (MOLECULES.format(kind="model") + "temperature = 1.2\n", "draws at temperature 1.2"),
        (MOLECULES.format(kind="model") + "top_k = 5\n", "leaves tokens out, by top_k or top_p"),
        (MOLECULES.format(kind="model") + "top_p = 0.9\n", "leaves tokens out, by top_k or top_p"),
    ],
)
def test_other_live_rows_are_refused_with_their_sampler(tmp_path: Path, other: str, why: str) -> None:
    found = problems(tmp_path, on_policy(other))
    assert found.keys() == {"samplers[1].p_batch"}
    (message,) = found.values()
    assert f'the sampler "other" {why}; set its p_batch to 0, or take a loss' in message
    assert "reinforce" in message and "reinvent" in message


def test_stored_rows_are_refused_with_their_share_and_the_selection(tmp_path: Path) -> None:
    text = on_policy().replace("p_batch = 1.0", "p_batch = 0.75\nbuffer_size = 8")
    found = problems(tmp_path, text)
    assert found.keys() == {"buffer.selection"} and "0.25 of a batch comes from the buffer" in found["buffer.selection"]
    # A share of all rows that ends before the training does.
    found = problems(tmp_path, on_policy(more="until_iteration = 50\nbuffer_size = 8\n"))
    assert "1 of a batch" in found["buffer.selection"]


@pytest.mark.parametrize(("other", "p_batch"), [(FILE, 0.25), (MUTANTS, 0.25), (FILE, 0)])
def test_rows_without_a_likelihood_are_refused_for_a_loss_that_needs_it(
    tmp_path: Path, other: str, p_batch: float
) -> None:
    text = PPO + AGENT.format(share=0.5) + other.replace("p_batch = 0.25", f"p_batch = {p_batch}\nbuffer_size = 8")
    found = problems(tmp_path, text)
    assert found.keys() == {"samplers[1].kind"} and '"other" have none; remove it' in found["samplers[1].kind"]
    assert problems(tmp_path, text.replace('"ppo"', '"reinvent"')) == {}


def test_rows_of_any_policy_and_temperature_and_stored_ones_suit_it(tmp_path: Path) -> None:
    prior = MOLECULES.format(kind="model") + 'policy = "prior"\ntemperature = 1.5\nbuffer_size = 8\n'
    assert problems(tmp_path, PPO + AGENT.format(share=0.25) + prior + HISTORY.replace("other", "again")) == {}


@pytest.mark.parametrize("key", ["top_k = 5", "top_p = 0.9"])
def test_r21_truncated_rows_are_refused_unless_they_are_allowed(tmp_path: Path, key: str) -> None:
    text = PPO + AGENT.format(share=0.5) + MOLECULES.format(kind="model") + key + "\nbuffer_size = 8\n"
    name = f"samplers[1].{key.partition(' ')[0]}"
    found = problems(tmp_path, text)
    assert found.keys() == {name} and "allow_truncated = true" in found[name]
    assert problems(tmp_path, text.replace('"ppo"', '{ kind = "ppo", allow_truncated = true }')) == {}


def test_molecules_are_chosen_by_one_of_screening_and_choice(tmp_path: Path) -> None:
    text = '[screening]\n[objective]\nchoose = "dpp"\n' + HEAD.format(loss='"reinvent"') + AGENT.format(share=1.0)
    found = problems(tmp_path, text)
    assert found.keys() == {"objective.choose"} and "remove the key or the table" in found["objective.choose"]


def test_an_offline_training_by_a_loss_that_is_valid_on_policy_is_refused(tmp_path: Path) -> None:
    text = on_policy() + '[offline]\nloss = "reinforce"\nselection = "top_k"\n'
    found = problems(tmp_path, text)
    assert found.keys() == {"offline.loss"} and "the selection top_k gives stored rows" in found["offline.loss"]
    assert problems(tmp_path, on_policy() + '[offline]\nloss = "dpo"\n') == {}


def test_other_smiles_of_stored_molecules_are_refused_for_a_loss_that_needs_their_likelihoods(tmp_path: Path) -> None:
    text = PPO + AGENT.format(share=0.5) + "buffer_size = 8\n[buffer]\nrandomise = true\n"
    found = problems(tmp_path, text)
    assert found.keys() == {"buffer.randomise"} and "set randomise to false" in found["buffer.randomise"]
    assert problems(tmp_path, text.replace('"ppo"', '"reinvent"')) == {}


def test_other_smiles_offline_are_refused_for_a_loss_that_needs_their_likelihoods(tmp_path: Path) -> None:
    text = HEAD.format(loss='"reinvent"') + AGENT.format(share=1.0) + '[offline]\nrandomise = true\nloss = "{loss}"\n'
    found = problems(tmp_path, text.replace("{loss}", "ppo"))
    assert found.keys() == {"offline.randomise"} and "set randomise to false" in found["offline.randomise"]
    assert problems(tmp_path, text.replace("{loss}", "advantage_weighted")) == {}


def test_a_condition_on_own_rows_is_refused_where_no_sampler_builds(tmp_path: Path) -> None:
    parts = 'parts = [{ runs = "own", where = "reward > 0.5" }, { share = 2 }]'
    text = HEAD.format(loss='"reinvent"') + AGENT.format(share=0.5)
    mixture = f'[buffer]\nselection = {{ kind = "mixture", {parts} }}\n'
    assert "part 0 of the mixture" in problems(tmp_path, text + mixture)["buffer.selection"]
    assert problems(tmp_path, text + "buffer_size = 8\n" + mixture) == {}


def test_further_updates_are_refused_for_a_loss_that_is_valid_on_policy(tmp_path: Path) -> None:
    found = problems(tmp_path, on_policy().replace("[training]", "[training]\nupdates = 2"))
    assert found.keys() == {"training.updates"} and "set updates to 1" in found["training.updates"]
    assert problems(tmp_path, PPO.replace("[training]", "[training]\nupdates = 2") + AGENT.format(share=1.0)) == {}


@pytest.mark.parametrize(
    ("loss", "screened", "keys"),
    [
        ("reinforce", False, {"objective.choose"}),
        ("reinforce", True, {"screening"}),
        ("reinvent", False, set()),
        ("reinvent", True, set()),
    ],
)
def test_chosen_rows_are_no_draws_of_the_policy(tmp_path: Path, loss: str, screened: bool, keys: set[str]) -> None:
    chosen = '[screening]\nmodel = "gp"\n' if screened else '[objective]\nchoose = "dpp"\n'
    text = chosen + HEAD.format(loss=f'"{loss}"') + AGENT.format(share=1.0)
    assert problems(tmp_path, text).keys() == keys


def best(keys: str, share: float = 0.25) -> str:
    return MOLECULES.format(kind="model").replace("0.25", str(share)) + f'policy = "best"\n{keys}'


def test_the_best_agent_draws_live_from_all_tokens_for_a_loss_that_needs_its_rows(tmp_path: Path) -> None:
    head, alone = HEAD.format(loss='"best_agent_reminder"'), AGENT.format(share=0.75)
    assert problems(tmp_path, head + alone + best("")) == {}
    assert problems(tmp_path, HEAD.format(loss='"reinvent"') + alone + best("temperature = 1.5\n")) == {}
    without = problems(tmp_path, head + alone)
    assert "no sampler with the policy" in without["training.loss"]
    assert problems(tmp_path, head + alone + best("temperature = 1.5\n")).keys() == {"samplers[1]"}
    assert problems(tmp_path, head + alone + best("buffer_size = 8\n")).keys() == {"samplers[1].buffer_size"}
    inside = MUTANTS.replace('kind = "model"', 'kind = "model", policy = "best"')
    assert "samplers[1]" in problems(tmp_path, HEAD.format(loss='"reinvent"') + alone + inside)


@pytest.mark.parametrize(("share", "warned"), [(0.0, True), (0.5, False)])
def test_a_best_agent_that_nothing_can_replace_is_warned_of(tmp_path: Path, share: float, warned: bool) -> None:
    path = tmp_path / "c.toml"
    path.write_text(HEAD.format(loss='"reinvent"') + AGENT.format(share=share) + "buffer_size = 8\n" + best(""))
    assert any("the best agent stays the policy" in text for text in warnings_of(load_settings(path))) is warned


@pytest.mark.parametrize(("std", "warned"), [("", True), ('std = "error"\n', False)])
def test_pessimism_without_a_standard_deviation_is_warned_of(tmp_path: Path, std: str, warned: bool) -> None:
    path = tmp_path / "c.toml"
    program = f'kind = "external"\ncommand = ["cat"]\nrevision = "1"\npessimism = 1.0\n{std}'
    path.write_text(f"[[objective.components]]\n{program}" + AGENT.format(share=1.0))
    assert any("standard deviations" in text for text in warnings_of(load_settings(path))) is warned
