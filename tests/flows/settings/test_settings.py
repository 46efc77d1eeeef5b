"""What a configuration file may say, and what is said about one that cannot be run."""

import json
import shutil
from pathlib import Path

import pytest
from pydantic import ValidationError

from molbuffer.flows.campaign.assemble import (
    build_filters,
    build_objective,
    build_standardisation,
    build_template,
)
from molbuffer.flows.settings.overrides import OFFLINE
from molbuffer.flows.settings.problems import ConfigurationError, resolve
from molbuffer.flows.settings.settings import Settings, load_settings, settings_schema
from molbuffer.flows.settings.training import selection_of
from molbuffer.samplers.by_scaffold import ByScaffold
from molbuffer.samplers.tables.changed import ContrastiveSamplerTable
from molbuffer.scoring import ContrastiveTemplate, transforms
from molbuffer.scoring.filters import PropertyRange
from molbuffer.storage.history.selections import AboveQuantile, ConsumeOnce, Prioritized, Recent, TopK, Uniform
from molbuffer.training.losses import AdvantageWeighted, Reinvent

QED = '[[objective.components]]\nkind = "qed"\n'
LIVE = '[[samplers]]\nkind = "model"\nname = "live"\nbuffer_size = 10\np_batch = 0.5\n'


def load(tmp_path: Path, text: str) -> Settings:
    path = tmp_path / "campaign.toml"
    path.write_text(text)
    return load_settings(path)


def problems(tmp_path: Path, text: str) -> list[str]:
    with pytest.raises(ConfigurationError) as raised:
        load(tmp_path, text)
    return [str(problem) for problem in raised.value.problems]


def problem(tmp_path: Path, text: str) -> str:
    found = problems(tmp_path, text)
    assert len(found) == 1, found
    return found[0]


def test_a_minimal_file_has_the_documented_defaults(tmp_path: Path) -> None:
    settings = load(tmp_path, QED + LIVE)
    assert settings.policy.prior == "zinc-gru"
    assert settings.campaign.batch_size == 64
    assert settings.objective.components[0].weight == 1.0
    assert selection_of(settings.buffer.selection) == ConsumeOnce(1)
    assert settings.samplers[0].p_batch == 0.5


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "[campaign]\nbatchsize = 3\n",
            "line 2, key `campaign.batchsize`: this key is not known; did you mean `batch_size`? "
            "Known here: name, seed, agents, iterations, batch_size, offline, device, max_failed_share, "
            "keep_checkpoints, keep_policies, max_oracle_calls, max_minutes, patience, patience_top, authors, license.",
        ),
        (
            "[campaing]\n",
            "line 1, key `campaing`: this key is not known; did you mean `campaign`? Known here: campaign, ",
        ),
        ('[campaign]\nseed = "7"\n', 'line 2, key `campaign.seed`: got "7", expected a whole number'),
        (
            f"[campaign]\nseed = {2**63}\n",
            f"line 2, key `campaign.seed`: got {2**63}, expected a number <= 9.22337e+18",
        ),
        ("[campaign]\nseed = true\n", "line 2, key `campaign.seed`: got true, expected a whole number"),
        ("[campaign]\niterations = 1.5\n", "line 2, key `campaign.iterations`: got 1.5, expected a whole number"),
        ("[campaign]\niterations = -1\n", "line 2, key `campaign.iterations`: got -1, expected a number >= 0"),
        ("[campaign]\nbatch_size = 0\n", "line 2, key `campaign.batch_size`: got 0, expected a number >= 1"),
        ("[campaign]\noffline = 1\n", "line 2, key `campaign.offline`: got 1, expected true or false"),
        ('[campaign]\nname = ""\n', 'line 2, key `campaign.name`: got "", expected a text that is not empty'),
        ("campaign = 3\n", "line 1, key `campaign`: got 3, expected a table"),
        ("[training]\nsigma = inf\n", "line 2, key `training.sigma`: got Infinity, expected a finite number"),
        ("[training]\nlearning_rate = 0\n", "line 2, key `training.learning_rate`: got 0, expected a number > 0"),
        (
            '[training]\nloss = "reinvnt"\n',
            'line 2, key `training.loss`: got kind "reinvnt", expected one of: '
            "a2c, advantage_weighted, augmented_hill_climb, best_agent_reminder, dpo, filtered_cloning, grpo, gspo, "
            "importance_weighted, off_policy_reinvent, ppo, python, reinforce, reinvent, top_share_likelihood, "
            "trajectory_balance; did you mean `reinvent`?",
        ),
        (
            '[buffer]\nselection = "topk"\n',
            'line 2, key `buffer.selection`: got kind "topk", expected one of: consume_once, each_molecule, lowest, '
            "mixture, prioritized, python, quantile, rank_window, recent, scaffold, top_k, uniform; did you mean "
            "`top_k`?",
        ),
        (
            '[buffer]\nselection = { kind = "uniform", k = 5 }\n',
            "line 2, key `buffer.selection.k`: this key is not known. Known here: kind.",
        ),
        (
            '[offline]\nselection = { kind = "consume_once", epochs = 0 }\n',
            "line 2, key `offline.selection.epochs`: got 0, expected a number >= 1",
        ),
        (
            '[training.loss]\nkind = "reinvent"\nsigma = -1\n',
            "line 3, key `training.loss.sigma`: got -1, expected a number > 0",
        ),
        ('[offline]\nsteps = "many"\n', 'line 2, key `offline.steps`: got "many", expected a whole number'),
        (
            '[buffer]\nruns = "mine"\n',
            'line 2, key `buffer.runs`: got "mine", expected one of: all, own.',
        ),
        (
            '[[samplers]]\nkind = "model"\nname = "other"\nunique = "rn"\n',
            'line 4, key `samplers[0].unique`: got "rn", expected one of: true, false, run; did you mean `run`?',
        ),
        (
            '[[samplers]]\nkind = "model"\nname = "other"\nunique = 3\n',
            "line 4, key `samplers[0].unique`: got 3, expected one of: true, false, run.",
        ),
    ],
)
def test_a_wrong_key_or_value_is_named_with_what_was_expected(tmp_path: Path, text: str, expected: str) -> None:
    assert problem(tmp_path, text + QED + LIVE).startswith(expected)


@pytest.mark.parametrize(
    ("component", "expected"),
    [
        (
            'kind = "qedd"',
            'line 1, key `objective.components[0]`: got kind "qedd", expected one of: chemprop, external, http, '
            "imported, onnx, pmo, property, python, qed, rediscovery, sa_score, similarity, substructure, vina; did "
            "you mean `qed`?",
        ),
        (
            "weight = 2",
            "line 1, key `objective.components[0]`: the key `kind` is missing, expected one of: chemprop, external, ",
        ),
        (
            'kind = "similarity"',
            "line 1, key `objective.components[0].target`: this key is missing. The target molecule",
        ),
        (
            'kind = "qed"\nweight = -2',
            "line 3, key `objective.components[0].weight`: got -2, expected a number >= 0",
        ),
        ('kind = "qed"\nweight = 0', "line 1, key `objective.components`: every weight is 0, so there is no reward; "),
        (
            'kind = "similarity"\ntarget = "c1ccc"',
            "line 3, key `objective.components[0].target`: the target 'c1ccc' is no SMILES string that RDKit can read",
        ),
        (
            'kind = "rediscovery"\ntarget = ""',
            'line 3, key `objective.components[0].target`: got "", expected a text that is not empty',
        ),
        (
            'kind = "substructure"\nsmarts = "C("',
            "line 3, key `objective.components[0].smarts`: 'C(' is no SMARTS pattern that RDKit can read",
        ),
        (
            'kind = "property"\nproperty = "mol_weight"\ntransform = { kind = "linear", low = 0, high = 1 }',
            "line 3, key `objective.components[0].property`: unknown property 'mol_weight', did you mean "
            "'molecular_weight'? Allowed: ",
        ),
        (
            'kind = "property"\nproperty = "logp"',
            "line 1, key `objective.components[0]`: the raw values of 'property:logp' are not limited to [0, 1]: "
            "give it a transform",
        ),
        (
            'kind = "sa_score"\ntransform = { kind = "identity" }',
            "line 1, key `objective.components[0]`: the raw values of 'sa_score' are not limited to [0, 1]",
        ),
        (
            'kind = "qed"\ntransform = { kind = "sigmoid", low = 0.6, high = 0.2 }',
            "line 3, key `objective.components[0].transform`: low of a sigmoid transform must be below its high, ",
        ),
        (
            'kind = "qed"\ntransform = { kind = "sigmoid", low = 0.6 }',
            "line 3, key `objective.components[0].transform.high`: this key is missing.",
        ),
        (
            'kind = "qed"\ntransform = { kind = "sigmoidal", low = 0.6 }',
            'line 3, key `objective.components[0].transform`: got kind "sigmoidal", expected one of: desirability, ',
        ),
        (
            'kind = "python"\nfunction = "no_such_module:f"',
            "line 1, key `objective.components[0]`: there is no module 'no_such_module'",
        ),
        (
            'kind = "python"\nfunction = "json:lods"',
            "line 1, key `objective.components[0]`: unknown function of module json 'lods', did you mean 'loads'?",
        ),
        (
            'kind = "similarity"\ntarget = "C"\nfingerprint = "ecfp"',
            'line 4, key `objective.components[0].fingerprint`: got "ecfp", expected one of: morgan, fcfp, atom_pair',
        ),
    ],
)
def test_a_wrong_component_is_named(tmp_path: Path, component: str, expected: str) -> None:
    assert problem(tmp_path, f"[[objective.components]]\n{component}\n{LIVE}").startswith(expected)


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        (
            'kind = "property"\nname = "logP"\nmin = 1',
            "line 3, key `filters[0].name`: unknown property 'logP', did you mean 'logp'?",
        ),
        (
            'kind = "property"\nname = "logp"\nmin = 3\nmax = 1',
            "line 1, key `filters[0]`: the minimum of logp must be at most its maximum, got 3 and 1",
        ),
        (
            'kind = "property"\nname = "logp"',
            "line 1, key `filters[0]`: a filter on logp needs a minimum or a maximum",
        ),
        (
            'kind = "property"\nname = "logp"\nminimum = 3\nmax = 4',
            "line 4, key `filters[0].minimum`: this key is not known; did you mean `min`?",
        ),
        (
            'kind = "substructure"\nmust_have = ["C", "C("]',
            "line 3, key `filters[0].must_have[1]`: 'C(' is no SMARTS pattern that RDKit can read",
        ),
        ('kind = "alerts"\ncatalogs = "PAINS"', 'line 3, key `filters[0].catalogs`: got "PAINS", expected a list'),
        (
            'kind = "alerts"\ncatalogs = ["PAIN"]',
            "line 1, key `filters[0]`: unknown catalogue of alerts 'PAIN', did you mean 'PAINS'?",
        ),
        ('kind = "elements"\nallowed = ["Xx"]', "line 1, key `filters[0]`: 'Xx' is not the symbol of an element"),
        ('kind = "ring_size"\nmin = 0', "line 3, key `filters[0].min`: got 0, expected a number >= 1"),
    ],
)
def test_a_wrong_filter_is_named(tmp_path: Path, keys: str, expected: str) -> None:
    assert problem(tmp_path, f"[[filters]]\n{keys}\n{QED}{LIVE}").startswith(expected)


@pytest.mark.parametrize(
    ("samplers", "expected"),
    [
        ('name = "a"\np_batch = 1.5', "line 4, key `samplers[0].p_batch`: got 1.5, expected a number <= 1"),
        ('name = "a"\np_batch = -0.5', "line 4, key `samplers[0].p_batch`: got -0.5, expected a number >= 0"),
        ('name = "a"\nbuffer_size = -1', "line 4, key `samplers[0].buffer_size`: got -1, expected a number >= 0"),
        (
            'name = "a"\np_batch = 0.6\n[[samplers]]\nkind = "model"\nname = "b"\np_batch = 0.6',
            "line 1, key `samplers`: the p_batch of all samplers add up to 1.2, expected at most 1; lower some of them",
        ),
        (
            'name = "a"\np_batch = 0.6\n[[samplers]]\nkind = "model"\nname = "a"\np_batch = 0.1',
            'line 7, key `samplers[1].name`: two samplers have the name "a"; change one',
        ),
        ('name = "a"', "line 1, key `samplers`: no sampler draws anything; give a sampler a buffer_size or p_batch "),
        (
            'name = "a"\np_batch = 0.4\n[buffer]\nruns = "own"',
            'line 6, key `buffer.runs`: with "own" the buffer is still empty in iteration 0, but 0.6 of the batch ',
        ),
        (
            'name = "a"\np_batch = 1\ntemperature = 0',
            "line 5, key `samplers[0].temperature`: got 0, expected a number > 0",
        ),
        ('name = "a"\np_batch = 1\ntop_p = 1.2', "line 5, key `samplers[0].top_p`: got 1.2, expected a number <= 1"),
        ('name = "a"\np_batch = 1\npath = "x.smi"', "line 5, key `samplers[0].path`: this key is not known"),
    ],
)
def test_wrong_samplers_are_named(tmp_path: Path, samplers: str, expected: str) -> None:
    assert problem(tmp_path, f'[[samplers]]\nkind = "model"\n{samplers}\n{QED}').startswith(expected)


def test_shares_may_miss_one_by_rounding_only(tmp_path: Path) -> None:
    tenth = '[[samplers]]\nkind = "model"\nname = "s{}"\np_batch = {}\n'
    assert load(tmp_path, QED + "".join(tenth.format(i, 0.1) for i in range(10)))
    over = QED + tenth.format(0, 0.5) + tenth.format(1, 0.500000002)
    assert "add up to 1.000000002, expected at most 1" in problem(tmp_path, over)
    assert load(tmp_path, over.replace("0.500000002", "0.500000000001"))


def test_components_of_one_name_are_refused_whether_it_was_given_or_is_the_kinds_own(tmp_path: Path) -> None:
    assert problem(tmp_path, QED + QED + LIVE).startswith(
        'line 4, key `objective.components[1].kind`: two components have the name "qed"; '
        "give one of them another `name`"
    )
    named = '[[objective.components]]\nkind = "qed"\nname = "a"\n'
    assert problem(tmp_path, named + named + LIVE).startswith("line 6, key `objective.components[1].name`: ")
    aspirin = '[[objective.components]]\nkind = "similarity"\ntarget = "CC(=O)Oc1ccccc1C(=O)O"\n'
    ethanol = '[[objective.components]]\nkind = "similarity"\ntarget = "CCO"\n'
    assert load(tmp_path, aspirin + ethanol + LIVE)


GATED = '[[objective.components]]\nkind = "qed"\n[[objective.components]]\nkind = "sa_score"\n{gate}\n{rest}'
RISING = "transform = { kind = 'linear', low = 1, high = 10 }"


@pytest.mark.parametrize(
    ("gate", "expected"),
    [
        (
            'after = "qd > 0.4"',
            "line 5, key `objective.components[1].after`: unknown component 'qd', did you mean 'qed'?",
        ),
        ('after = "sa_score > 4"', "line 5, key `objective.components[1].after`: unknown component 'sa_score'"),
        ('after = "qed >"', "line 5, key `objective.components[1].after`: the gate 'qed >' is no condition"),
        ('after = ""', "line 5, key `objective.components[1].after`: the gate '' is no condition"),
        ("otherwise = 0.5", "line 5, key `objective.components[1].otherwise`: this key has no effect without `after`"),
        (
            'after = "qed > 0.4"\notherwise = 1.5',
            "line 6, key `objective.components[1].otherwise`: got 1.5, expected a number <= 1",
        ),
    ],
)
def test_a_wrong_gate_is_named(tmp_path: Path, gate: str, expected: str) -> None:
    assert problem(tmp_path, GATED.format(gate=gate, rest=f"{RISING}\n{LIVE}")).startswith(expected)


def test_gates_in_a_circle_are_named(tmp_path: Path) -> None:
    text = GATED.format(gate='after = "qed > 0.4"', rest=f"{RISING}\n{LIVE}")
    circle = text.replace('kind = "qed"', 'kind = "qed"\nafter = "sa_score < 4"')
    expected = 'line 3, key `objective.components[0].after`: the gates of "qed" and "sa_score" need each other'
    assert problem(tmp_path, circle).startswith(expected)


def test_a_reference_is_read_from_the_folder_of_the_file(tmp_path: Path) -> None:
    text = '[objective]\naggregation = "pareto"\n{}[[objective.components]]\nkind = "qed"\n' + LIVE
    named = "line 2, key `objective.aggregation`: the aggregation pareto needs a reference"
    assert problem(tmp_path, text.format("")).startswith(named)
    given = text.format('reference = "front.csv"\n')
    assert "line 3, key `objective.reference`: there is no file" in problem(tmp_path, given)
    # A stage has it from there, and something else is wrong, too.
    stages = '[[stages]]\niterations = 5\nobjective = { components = [{ kind = "qed" }] }\n[[stages]]\n'
    both = problems(tmp_path, f"{given}{stages}[training]\nlos = 1\n")
    assert sum("there is no file" in each for each in both) and any("training.los" in each for each in both)
    (tmp_path / "front.csv").write_text("raw_sa_score\n1\n")
    assert "line 3, key `objective.reference`: the reference" in problem(tmp_path, given)
    (tmp_path / "front.csv").write_text("raw_qed\n0.5\n")
    reference = load(tmp_path, given).objective.build().reference
    assert reference is not None and list(reference.columns["qed"]) == [0.5]


def test_a_gate_comes_to_the_objective(tmp_path: Path) -> None:
    settings = load(tmp_path, GATED.format(gate='after = "qed > 0.4"\notherwise = 0.25', rest=f"{RISING}\n{LIVE}"))
    (name,) = (objective := settings.objective.build()).gates
    assert (name, objective.components[1].otherwise) == ("sa_score", 0.25)


def test_all_problems_of_a_file_are_reported_together_in_its_order(tmp_path: Path) -> None:
    text = (
        '[campaign]\nseed = "x"\n[[objective.components]]\nkind = "similarity"\ntarget = "bad"\nweight = -1\n'
        '[[samplers]]\nkind = "model"\nname = "a"\np_batch = 0.7\n[[samplers]]\nkind = "model"\nname = "a"\n'
        'p_batch = 0.7\n[[samplers]]\nkind = "dataset"\nname = "file"\npath = "missing.smi"\n[buffer]\nalpha = 1\n'
    )
    lines = [found.partition(":")[0] for found in problems(tmp_path, text)]
    assert lines == [
        "line 2, key `campaign.seed`",
        "line 5, key `objective.components[0].target`",
        "line 6, key `objective.components[0].weight`",
        "line 7, key `samplers`",
        "line 13, key `samplers[1].name`",
        "line 18, key `samplers[2].path`",
        "line 20, key `buffer.alpha`",
    ]


def test_an_objective_needs_components(tmp_path: Path) -> None:
    assert problem(tmp_path, LIVE) == (
        "key `objective`: this key is missing. The objective: the components of the reward."
    )
    assert "key `objective.components`: this key is missing." in problem(tmp_path, "[objective]\n" + LIVE)
    assert "expected 1 or more items, got 0" in problem(tmp_path, "[objective]\ncomponents = []\n" + LIVE)


def test_a_file_that_is_no_configuration_at_all(tmp_path: Path) -> None:
    assert "the file has no keys; `molbuffer config example` prints" in problem(tmp_path, "# nothing\n")
    assert problem(tmp_path, "a = 1\nb == 2\n").startswith("line 2: this is not valid TOML: ")
    with pytest.raises(ConfigurationError, match=r"nowhere\.toml: 1 problem\n  cannot be read: No such file"):
        load_settings(tmp_path / "nowhere.toml")
    (tmp_path / "latin.toml").write_bytes(b'name = "\xe9"\n')
    with pytest.raises(ConfigurationError, match="is not UTF-8 text"):
        load_settings(tmp_path / "latin.toml")


def test_r12_offline_draws_nothing_and_so_needs_no_sampler_and_no_buffer(tmp_path: Path) -> None:
    offline = "[campaign]\noffline = true\n"
    assert load(tmp_path, offline + QED).samplers == ()
    off = LIVE.replace("p_batch = 0.5", "p_batch = 0.0").replace("buffer_size = 10", "buffer_size = 0")
    file = tmp_path / "off.toml"
    file.write_text(QED + off + '[buffer]\nruns = "own"\n')
    assert load_settings(file, OFFLINE).campaign.offline
    with pytest.raises(ConfigurationError, match="no sampler draws anything"):
        load_settings(file)


def test_paths_are_those_of_the_files_folder(tmp_path: Path, small_prior: Path) -> None:
    (tmp_path / "actives.smi").write_text("CCO\n")
    dataset = '[[samplers]]\nkind = "dataset"\nname = "file"\npath = "actives.smi"\np_batch = 0.1\n'
    shutil.copytree(small_prior, tmp_path / "mine")
    settings = load(tmp_path, '[policy]\nprior = "./mine"\n' + QED + dataset + LIVE)
    assert load(tmp_path, '[policy]\nprior = "mine"\n' + QED + LIVE).policy == settings.policy
    assert settings.policy.prior == str(tmp_path / "mine")
    assert json.loads(settings.to_json())["samplers"][0]["path"] == str(tmp_path / "actives.smi")
    assert load(tmp_path, QED + LIVE).policy.prior == "zinc-gru"


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        (
            'prior = "zinc_gru"',
            'got "zinc_gru", expected a bundled policy (zinc-gru, zinc-pairs, zinc-vae), a folder, a sha256 in the '
            "store, or run:RUN_ID; ",
        ),
        ('prior = "./nowhere"', "there is no policy in {folder}/nowhere: expected a folder with a config.json"),
        ('prior = "agent"', 'got "agent", expected a bundled policy'),
    ],
)
def test_a_policy_that_is_nowhere_is_named(tmp_path: Path, keys: str, expected: str) -> None:
    found = problem(tmp_path, f"[policy]\n{keys}\n{QED}{LIVE}")
    assert found.startswith("line 2, key `policy.prior`: " + expected.format(folder=tmp_path))


def test_a_policy_may_be_in_the_store_that_is_run_on(tmp_path: Path) -> None:
    assert load(tmp_path, '[policy]\nprior = "9f713a33b7b6"\n' + QED + LIVE).policy.prior == "9f713a33b7b6"
    of_a_sampler = problem(tmp_path, QED + LIVE + 'policy = "agnt"\n')
    assert of_a_sampler == (
        'line 8, key `samplers[0].policy`: got "agnt", expected agent, best, prior, a bundled policy (zinc-gru, '
        "zinc-pairs, zinc-vae), a folder, or a sha256 in the store; did you mean `agent`?"
    )


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("rewrd > 0.5", 'Referenced column "rewrd" not found in FROM clause! Candidate bindings: "reward", '),
        ("weight(smiles) > 300", "Scalar Function with name weight does not exist!"),
        ("sum(reward) > 1", "WHERE clause cannot contain aggregates!"),
        ("reward >", "the predicate 'reward >' cannot be read: syntax error"),
        ("true; DROP TABLE samples", "cannot be read: "),
        ("raw IN (SELECT raw FROM samples)", "a predicate is about one row and has no subquery, got "),
        ("created > now() - INTERVAL 1 DAY", "a predicate must choose the same rows each time"),
        ("len(range(1000000000)) > row", "256MB"),
    ],
)
def test_a_condition_that_no_store_could_fulfil_is_refused(tmp_path: Path, where: str, expected: str) -> None:
    found = problem(tmp_path, f"{QED}{LIVE}[offline]\nsteps = 3\nwhere = '{where}'\n")
    assert found.startswith("line 10, key `offline.where`: ")
    assert expected in found
    assert "\n" not in found


def test_a_wrong_condition_is_reported_with_all_else_that_is_wrong(tmp_path: Path) -> None:
    found = problems(tmp_path, f"{QED}{LIVE}[offline]\nwhere = 'rewrd > 0'\nsteps = 0\n")
    assert [text.partition(":")[0] for text in found] == ["line 9, key `offline.where`", "line 10, key `offline.steps`"]


@pytest.mark.parametrize(
    "where",
    ["reward > 0.5 AND kept", "sampler = 'live' -- mine", "sample_history.iteration % 2 = 0 AND smiles ILIKE 'c%'"],
)
def test_a_condition_on_the_history_is_kept(tmp_path: Path, where: str) -> None:
    assert load(tmp_path, f'{QED}{LIVE}[offline]\nwhere = " {where} "\n').offline.where == where


def test_settings_are_immutable(tmp_path: Path) -> None:
    settings = load(tmp_path, QED + LIVE)
    with pytest.raises(ValidationError, match="frozen"):
        settings.campaign.seed = 3  # type: ignore[misc]


def test_settings_come_back_equal_from_their_canonical_json(tmp_path: Path) -> None:
    one = load(
        tmp_path, '[training]\nsigma = 64\n[[filters]]\nkind = "property"\nname = "logp"\nmax = 5\n' + QED + LIVE
    )
    two = load(
        tmp_path, LIVE + QED + '[[filters]]\nname = "logp"\nmax = 5.0\nkind = "property"\n[training]\nsigma = 64.0\n'
    )
    assert one.to_json() == two.to_json()
    assert one.sha256 == two.sha256
    assert Settings.from_json(one.to_json()) == one
    assert load(tmp_path, QED + LIVE).sha256 != one.sha256


def test_stored_settings_that_are_none_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"stored configuration: 1 problem\n  this is not JSON"):
        Settings.from_json("{")
    with pytest.raises(ConfigurationError, match="key `objective`: this key is missing"):
        Settings.from_json("{}")


def test_settings_become_the_objects_that_do_the_work(tmp_path: Path) -> None:
    text = (
        '[[filters]]\nkind = "property"\nname = "logp"\nmin = 1\nlabel = "greasy"\n'
        '[[objective.components]]\nkind = "similarity"\ntarget = "OCC"\nweight = 2\n'
        'transform = { kind = "gaussian", mean = 0.5, sigma = 0.1 }\n'
    )
    settings = load(tmp_path, text + LIVE)
    (component,) = build_objective(settings).components
    assert component.transform == transforms.Gaussian(0.5, 0.1)
    assert (component.weight, component.component.name) == (2.0, "similarity:CCO")
    assert [each.name for each in build_filters(settings)] == ["valence", "greasy"]


def test_r6_salts_are_cut_down_unless_they_are_refused_and_benchmarks_score_as_drawn(tmp_path: Path) -> None:
    assert build_standardisation(load(tmp_path, QED + LIVE)).largest_fragment
    refused = load(tmp_path, '[[filters]]\nkind = "single_component"\n' + QED + LIVE)
    assert not build_standardisation(refused).largest_fragment
    as_drawn = build_standardisation(load(tmp_path, "[standardisation]\ncleanup = false\n" + QED + LIVE))
    assert (as_drawn.cleanup, as_drawn.largest_fragment) == (False, False)


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ('"uniform"', Uniform()),
        ('{ kind = "consume_once", epochs = 3 }', ConsumeOnce(3)),
        ('{ kind = "top_k", k = 7 }', TopK(7)),
        ('"top_k"', TopK()),
        ('{ kind = "top_k" }', TopK()),
        ('{ kind = "prioritized", alpha = 0 }', Prioritized(0)),
        ('{ kind = "recent", max_iterations = 4, each_run = true }', Recent(4, each_run=True)),
        ('{ kind = "quantile", quantile = 0.5 }', AboveQuantile(0.5)),
        ('"scaffold"', ByScaffold()),
    ],
)
def test_selections_are_built_with_their_own_keys(tmp_path: Path, table: str, expected: object) -> None:
    settings = load(tmp_path, f"{QED}{LIVE}[buffer]\nselection = {table}\n[offline]\nselection = {table}\n")
    assert selection_of(settings.buffer.selection) == selection_of(settings.offline.selection) == expected


def test_sigma_may_stand_with_the_loss_or_beside_it(tmp_path: Path) -> None:
    inside = load(tmp_path, QED + LIVE + '[training]\nloss = { kind = "reinvent", sigma = 64 }\n')
    beside = load(tmp_path, QED + LIVE + "[training]\nsigma = 64\n[offline]\nloss = 'reinvent'\nsigma = 32\n")
    assert inside.training.built_loss == beside.training.built_loss == Reinvent(64)
    # Offline has a loss of its own, but for a run of an earlier release, which had none.
    assert inside.offline.built_loss(inside.training) == AdvantageWeighted()
    earlier = inside.offline.model_copy(update={"loss": None})
    assert earlier.built_loss(inside.training) == Reinvent(64)
    lacking = problem(tmp_path, QED + LIVE + "[offline]\nsigma = 32\n")
    assert "offline.sigma" in lacking
    assert beside.offline.built_loss(beside.training) == Reinvent(32)


def test_every_key_is_described_in_the_schema() -> None:
    schema = settings_schema()
    tables = [schema, *schema["$defs"].values()]
    keys = [(table["title"], key, value) for table in tables for key, value in table["properties"].items()]
    assert len(keys) > 100
    # A description that is that of the table itself stands with the table.
    described = {key for _, key, _ in keys if resolve(schema, (key,), {}).get("description")}
    assert [(table, key) for table, key, value in keys if not value.get("description") and key not in described] == []


TAKING_TURNS = """
[objective]
components = [{ kind = "qed" }]
[[samplers]]
kind = "model"
name = "early"
p_batch = 0.8
until_iteration = 50
[[samplers]]
kind = "model"
name = "late"
p_batch = 0.8
from_iteration = 50
buffer_size = 10
"""


def test_shares_of_samplers_that_take_turns_need_not_fit_one_batch(tmp_path: Path) -> None:
    (tmp_path / "turns.toml").write_text(TAKING_TURNS)
    early, late = load_settings(tmp_path / "turns.toml").samplers
    sizes = early.size, late.size
    assert [size.p_batch_at(i) for i in (0, 49, 50) for size in sizes] == [0.8, 0, 0.8, 0, 0, 0.8]
    assert [size.buffer_size_at(i) for i in (0, 49, 50) for size in sizes] == [0, 0, 0, 0, 0, 10]


@pytest.mark.parametrize(
    ("changed", "to", "expected"),
    [
        ("from_iteration = 50", "from_iteration = 49", "add up to 1.6"),
        ("until_iteration = 50", "from_iteration = 10\nuntil_iteration = 10", "more than from_iteration, which is 10"),
        ("until_iteration = 50", "until_iteration = 0", "got 0, expected a number >= 1"),
    ],
)
def test_wrong_turns_are_named(tmp_path: Path, changed: str, to: str, expected: str) -> None:
    (tmp_path / "turns.toml").write_text(TAKING_TURNS.replace(changed, to))
    with pytest.raises(ConfigurationError, match=expected):
        load_settings(tmp_path / "turns.toml")


def test_an_event_can_be_switched_off_without_losing_its_size(tmp_path: Path) -> None:
    text = TAKING_TURNS.replace("buffer_size = 10", "buffer_size = 10\nsample_batch = false")
    (tmp_path / "turns.toml").write_text(text.replace("from_iteration = 50", ""))
    size = load_settings(tmp_path / "turns.toml").samplers[1].size
    assert (size.buffer_size_at(0), size.p_batch_at(0)) == (10, 0)


PAIRS = """
[[samplers]]
kind = "contrastive"
name = "pairs"
p_batch = 0.5
output_model = "mine"
repeats = 3
temperature = 0.8
[samplers.base_sampler]
kind = "contrastive"
output_model = "prior"
[samplers.base_sampler.base_sampler]
kind = "dataset"
path = "leads.smi"
"""


def test_a_sampler_of_pairs_holds_another_of_any_kind_whose_files_are_those_of_the_folder(
    tmp_path: Path, small_prior: Path
) -> None:
    (tmp_path / "leads.smi").write_text("CCO\n")
    shutil.copytree(small_prior, tmp_path / "mine")
    pairs = load(tmp_path, QED + PAIRS).samplers[0].table
    assert isinstance(pairs, ContrastiveSamplerTable)
    assert (pairs.output_model, pairs.repeats, pairs.temperature) == (str(tmp_path / "mine"), 3, 0.8)
    assert pairs.policies == (str(tmp_path / "mine"), "prior")
    assert pairs.inner.inner.path == str(tmp_path / "leads.smi")
    assert pairs.inner.inner.inner is None


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ('path = "leads.smi"', "key `samplers[0].base_sampler.base_sampler.path`: there is no file"),
        ('output_model = "prior"', 'key `samplers[0].base_sampler.output_model`: got "nobody", expected agent, best'),
        (
            'kind = "dataset"',
            'key `samplers[0].base_sampler.base_sampler`: got kind "nobody", expected one of: contrastive, dataset',
        ),
    ],
)
def test_what_is_wrong_inside_a_sampler_is_named_by_its_place(
    tmp_path: Path, small_prior: Path, changed: str, expected: str
) -> None:
    (tmp_path / "leads.smi").write_text("CCO\n")
    shutil.copytree(small_prior, tmp_path / "mine")
    key = changed.split(" = ")[0]
    assert expected in problem(tmp_path, QED + PAIRS.replace(changed, f'{key} = "nobody"'))


def test_a_template_of_pairs_is_built_with_its_filters(tmp_path: Path) -> None:
    table = """
[contrastive]
min_similarity = 0.4
max_similarity = 0.9
fingerprint = "atom_pair"
min_improvement = 0.1
scaled = true
[[contrastive.source_filters]]
kind = "property"
name = "molecular_weight"
max = 400
"""
    settings = load(tmp_path, QED + LIVE + table)
    source = PropertyRange("molecular_weight", maximum=400)
    assert build_template(settings) == ContrastiveTemplate(
        source_filters=(source,),
        min_similarity=0.4,
        max_similarity=0.9,
        fingerprint="atom_pair",
        radius=2,
        min_improvement=0.1,
        scaled=True,
    )
    assert build_template(load(tmp_path, QED + LIVE)) is None
    assert Settings.from_json(settings.to_json()) == settings
    found = problem(tmp_path, QED + LIVE + table.replace("0.9", "0.3"))
    assert "`contrastive`: min_similarity must be at most max_similarity, got 0.4 and 0.3" in found
