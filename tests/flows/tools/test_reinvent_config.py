"""Configurations of REINVENT 4 become campaigns that mean the same, and everything that does not is said."""

import json
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rdkit import Chem
from rdkit.Chem import Crippen, Descriptors, Lipinski, rdMolDescriptors

from molbuffer.flows.errors import UsageError
from molbuffer.flows.settings.problems import ConfigurationError
from molbuffer.flows.settings.settings import Settings, load_settings
from molbuffer.flows.tools.reinvent_config.components import DESCRIPTORS, PROPERTIES
from molbuffer.flows.tools.reinvent_config.convert import Conversion, convert_reinvent
from molbuffer.flows.tools.reinvent_config.reading import Remarks, Table
from molbuffer.flows.tools.reinvent_config.toml_text import toml_text, toml_value
from molbuffer.flows.tools.reinvent_config.transforms import transform_of
from molbuffer.flows.tools.sample_policy import named_policy
from molbuffer.samplers.policies.policy import fingerprint
from molbuffer.samplers.policies.reinvent import read_reinvent_prior, write_reinvent_prior
from molbuffer.scoring import TRANSFORMS
from molbuffer.scoring.molecules.properties import property_value

Convert = Callable[..., tuple[Conversion, Settings]]

HEAD = """
run_type = "staged_learning"
device = "cpu"
seed = 11

[parameters]
prior_file = "some.prior"
agent_file = "some.prior"
batch_size = 32

[learning_strategy]
type = "dap"
sigma = 120
rate = 0.0002
"""
SIMILARITY = """
[[stage.scoring.component]]
[stage.scoring.component.tanimoto-similarity]
[[stage.scoring.component.tanimoto-similarity.endpoint]]
name = "like aspirin"
weight = 0.7
params = { smiles = ["CC(=O)Oc1ccccc1C(=O)O"], radius = 3, use_counts = true, use_features = false }
transform.type = "sigmoid"
transform.low = 0.1
transform.high = 0.5
transform.k = 0.4
"""
QED = """
[[stage.scoring.component]]
[[stage.scoring.component.QED.endpoint]]
name = "drug-likeness"
"""
STAGE = """
[[stage]]
chkpt_file = "one.chkpt"
max_score = 0.6
min_steps = 5
max_steps = 20
[stage.scoring]
type = "geometric_mean"
"""


@pytest.fixture
def convert(tmp_path: Path) -> Convert:
    """Converts a text, and returns what became of it and the settings that ``config check`` reads."""

    def converted(text: str) -> tuple[Conversion, Settings]:
        (tmp_path / "reinvent.toml").write_text(text)
        made = convert_reinvent(tmp_path / "reinvent.toml")
        (tmp_path / "campaign.toml").write_text(made.text)
        return made, load_settings(tmp_path / "campaign.toml")

    return converted


def said(made: Conversion, part: str) -> list[Any]:
    return [each for each in made.differences if part in str(each)]


def test_a_staged_learning_of_one_stage_becomes_a_campaign(convert: Convert) -> None:
    made, settings = convert(HEAD + STAGE.replace("max_score = 0.6", "max_score = 1.0") + QED + SIMILARITY)
    campaign = settings.campaign
    assert (campaign.name, campaign.seed, campaign.iterations, campaign.batch_size) == ("reinvent", 11, 20, 32)
    assert (settings.training.sigma, settings.training.learning_rate) == (120.0, 0.0002)
    assert settings.training.train_on_invalid
    assert settings.standardisation.stereo == "drop"
    assert settings.stages == ()
    (live,) = tomllib.loads(made.text)["samplers"]
    assert live == {"kind": "model", "name": "live", "unique": True, "p_batch": 1.0}
    objective = tomllib.loads(made.text)["objective"]
    assert objective["aggregation"] == "geometric_mean"
    assert [each["name"] for each in objective["components"]] == ["drug-likeness", "like aspirin"]
    assert objective["components"][1] == {
        "name": "like aspirin",
        "weight": 0.7,
        "kind": "similarity",
        "target": "CC(=O)Oc1ccccc1C(=O)O",
        "fingerprint": "morgan",
        "radius": 3,
        "transform": {"kind": "sigmoid", "low": 0.1, "high": 0.5, "steepness": 0.4},
    }
    (prior,) = said(made, "prior_file")
    assert prior.line == 7
    assert "import-prior" in prior.message


def test_several_stages_have_scorings_and_filters_of_their_own(convert: Convert, tmp_path: Path) -> None:
    (tmp_path / "two.json").write_text(
        json.dumps({"component": [{"SlogP": {"endpoint": [{"transform": {"type": "left_step", "low": 4}}]}}]})
    )
    alerts = """
[[stage.scoring.component]]
[[stage.scoring.component.custom_alerts.endpoint]]
name = "unwanted"
params.smarts = ["[#8][#8]", "not smarts", "C#C"]
"""
    second = '[[stage]]\nmax_steps = 30\ntermination = "plateau"\n[stage.scoring]\ntype = "custom_sum"\n'
    made, settings = convert(HEAD + STAGE + alerts + QED + second + 'filename = "two.json"\nfiletype = "json"\n')
    first, last = settings.stages
    assert (first.iterations, first.mean_reward, first.window, last.iterations) == (20, 0.6, 1, 30)
    assert settings.campaign.iterations == 50
    assert tomllib.loads(made.text)["filters"] == [
        {"kind": "substructure", "label": "unwanted", "must_not_have": ["[#8][#8]", "C#C"]}
    ]
    assert last.filters == ()
    assert last.objective["aggregation"] == "arithmetic_mean"
    assert last.objective["components"][0]["property"] == "logp"
    for part in (
        "'not smarts' is left out",
        "min_steps",
        "max_steps",
        "plateau has no counterpart",
        "learns from it with a",
    ):
        assert said(made, part), part


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ('type = "IdenticalMurckoScaffold"\nbucket_size = 10\nminscore = 0.5', ("scaffold", 10, 0.5, "step")),
        ('type = "IdenticalTopologicalScaffold"', ("generic_scaffold", 25, 0.4, "step")),
        ('type = "ScaffoldSimilarity"\nminsimilarity = 0.3', ("similarity", 25, 0.4, "step")),
        ('type = "PenalizeSameSmiles"\npenalty_multiplier = 0.0', ("molecule", 1, 0.0, "step")),
    ],
)
def test_diversity_filters_become_the_diversity_memory(
    convert: Convert, table: str, expected: tuple[str, int, float, str]
) -> None:
    _, settings = convert(HEAD + f"[diversity_filter]\n{table}\n" + STAGE + QED)
    found = settings.diversity
    assert found is not None
    assert (found.buckets, found.size, found.min_reward, found.penalty) == expected


def test_an_intrinsic_penalty_an_inception_and_an_unknown_filter(convert: Convert) -> None:
    penalty = (
        '[intrinsic_penalty]\ntype = "IdenticalMurckoScaffoldRND"\npenalty_function = "Tanh"\nlearning_rate = 1e-4\n'
    )
    inception = "[inception]\nmemory_size = 40\nsample_size = 8\n"
    made, settings = convert(HEAD + penalty + inception + STAGE + QED)
    assert settings.diversity is not None
    assert (settings.diversity.penalty, settings.diversity.bonus) == ("tanh", "rnd")
    assert settings.campaign.batch_size == 40
    assert settings.buffer.runs == "own"
    assert tomllib.loads(made.text)["buffer"]["selection"] == {"kind": "top_k", "k": 40}
    assert tomllib.loads(made.text)["samplers"][0]["p_batch"] == pytest.approx(0.8)
    assert said(made, "learning_rate")
    made, settings = convert(HEAD + '[diversity_filter]\ntype = "Mine"\n' + STAGE + QED)
    assert settings.diversity is None
    assert said(made, "no diversity memory")


def test_a_sampling_becomes_a_build(convert: Convert) -> None:
    text = 'run_type = "sampling"\n[parameters]\nmodel_file = "m.prior"\nnum_smiles = 70\ntemperature = 0.8\n'
    text += 'output_file = "out.csv"\n[filter]\nsmarts = ["[#8][#8]"]\n'
    made, settings = convert(text)
    (sampler,) = tomllib.loads(made.text)["samplers"]
    assert (sampler["buffer_size"], sampler["temperature"]) == (70, 0.8)
    assert tomllib.loads(made.text)["filters"][0]["must_not_have"] == ["[#8][#8]"]
    assert made.advice.startswith("molbuffer build")
    assert settings.objective.components[0].kind == "qed"
    assert said(made, "output_file")[0].line == 6


def test_a_prior_that_is_there_is_named_by_its_sha256(convert: Convert, tmp_path: Path) -> None:
    write_reinvent_prior(named_policy("zinc-gru"), tmp_path / "some.prior")
    made, settings = convert(HEAD + STAGE + QED)
    read = read_reinvent_prior(tmp_path / "some.prior")
    assert settings.policy.prior == fingerprint(read.model, read.vocabulary)
    assert said(made, "import-prior")
    (tmp_path / "some.prior").write_bytes(b"no model")
    made, settings = convert(HEAD + STAGE + QED)
    assert settings.policy.prior == "zinc-gru"
    assert said(made, "stands in for it")


def test_programs_are_called_by_the_protocol_of_reinvent_and_refused_ones_are_left_out(
    convert: Convert, tmp_path: Path
) -> None:
    (tmp_path / "score.py").write_text("")
    program = """
[[stage.scoring.component]]
[stage.scoring.component.ExternalProcess]
params.executable = "{program}"
params.args = "score.py --fast 'a b'"
[[stage.scoring.component.ExternalProcess.endpoint]]
params.property = "affinity"
transform = {{ type = "reverse_sigmoid", low = -12, high = -6, k = 0.25 }}
"""
    made, _ = convert(HEAD + STAGE + QED + program.format(program="python3"))
    component = tomllib.loads(made.text)["objective"]["components"][1]
    assert component["command"] == ["python3", "score.py", "--fast", "a b"]
    assert (component["protocol"], component["output"], component["folder"]) == ("reinvent", "affinity", str(tmp_path))
    made, _ = convert(HEAD + STAGE + QED + program.format(program="no-such-program"))
    assert len(tomllib.loads(made.text)["objective"]["components"]) == 1
    assert said(made, "'ExternalProcess' is left out")
    assert '#kind = "external"' in made.text
    with pytest.raises(UsageError, match="no component is left"):
        convert(HEAD + STAGE + program.format(program="no-such-program"))


@pytest.mark.parametrize(
    ("component", "reason"),
    [
        ("GroupCount", "not counted"),
        ("MatchingSubstructure", "halves the total"),
        ("PMI", "function of yours"),
        ("fragment_qed", "LinkInvent"),
        ("Qptuna", "pickle"),
        ("chem-prop", "Chemprop 2"),
        ("RingPrecedence", "function of yours"),
        ("NoSuchThing", "no component of this name"),
    ],
)
def test_components_without_a_counterpart_are_left_out_with_the_reason(
    convert: Convert, component: str, reason: str
) -> None:
    text = f"[[stage.scoring.component]]\n[[stage.scoring.component.{component}.endpoint]]\nparams.smarts = ['C']\n"
    made, settings = convert(HEAD + STAGE + QED + text)
    assert len(settings.objective.components) == 1
    (found,) = said(made, f"the component {component} ")
    assert reason in found.message
    assert found.line is not None


def test_names_that_occur_again_are_numbered_and_hostile_ones_are_only_names(convert: Convert) -> None:
    hostile = '"\\" ]\\n[campaign]\\nseed = 5 # \\u007f\\u0000 <script>"'
    again = QED.replace('"drug-likeness"', hostile)
    made, settings = convert(HEAD + STAGE + QED + QED + again)
    names = [each["name"] for each in tomllib.loads(made.text)["objective"]["components"]]
    assert names[:2] == ["drug-likeness", "drug-likeness 2"]
    assert names[2].startswith('" ]\n[campaign]')
    assert settings.campaign.seed == 11


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (HEAD.replace("batch_size = 32", 'batch_size = "many"') + STAGE + QED, "expected a whole number of at least 1"),
        (HEAD.replace("sigma = 120", "sigma = nan") + STAGE + QED, "expected a finite number"),
        (HEAD + STAGE + QED.replace('name = "drug-likeness"', "weight = -1"), "expected a weight of at least 0"),
        (HEAD + STAGE.replace("geometric_mean", "harmonic") + QED, "expected one of: arithmeticmean"),
        (HEAD + STAGE.replace("max_steps = 20", "max_steps = 0") + QED, "expected a whole number"),
        (HEAD.replace("seed = 11", "seed = 11\nstage = 3"), "expected a list of tables"),
        (HEAD, r"no \[\[stage\]\]"),
        (HEAD + "[[stage]]\nmax_steps = 3\n", r"\[stage.scoring\] is missing"),
        (HEAD + STAGE + "[[stage.scoring.component]]\nQed = 4\n", "expected a table"),
        (HEAD + STAGE + "[[stage.scoring.component]]\n[stage.scoring.component.Qed]\n", "has no"),
        (HEAD + STAGE + 'filename = "gone.toml"\n', "cannot be read"),
        (HEAD + STAGE + SIMILARITY.replace("transform.k = 0.4\n", ""), "lacks the key `k`"),
        ("run_type = [", "not valid TOML"),
        ("a = " + "[" * 3000 + "]" * 3000, "nested too deeply|not valid TOML"),
    ],
)
def test_what_is_wrong_with_a_file_is_said_with_its_line(convert: Convert, text: str, expected: str) -> None:
    with pytest.raises(ConfigurationError, match=expected):
        convert(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('run_type = "transfer_learning"\n[parameters]\n', "molbuffer pretrain"),
        ('run_type = "scoring"\n', "molbuffer score"),
        ("x = 1\n", "expected staged_learning or sampling"),
        (HEAD.replace("batch_size", 'smiles_file = "scaffolds.smi"\nbatch_size') + STAGE + QED, "LibInvent"),
        ("#" * (1 << 20) + "\nx = 1", "bytes"),
    ],
)
def test_other_runs_and_generators_are_refused_with_advice(convert: Convert, text: str, expected: str) -> None:
    with pytest.raises(UsageError, match=expected):
        convert(text)


def test_keys_that_nobody_knows_are_said(convert: Convert) -> None:
    made, _ = convert(
        HEAD.replace("seed = 11", 'seed = 11\nlucky = 7\ntb_logdir = "tb"') + STAGE + QED + "colour = 1\n"
    )
    assert said(made, "key `lucky`: this key is not known")
    assert said(made, "endpoint[0].colour`: this key is not known")
    assert said(made, "tb_logdir")[0].line is not None


def sigma(u: Any) -> Any:
    return 1 / (1 + np.power(10.0, np.clip(-u, -300, 300)))


def reinvent(
    kind: str, x: Any, low: float, high: float, k: float = 0.0, div: float = 100, si: float = 150, se: float = 150
) -> Any:
    """The formulas of REINVENT 4, written down from its documentation and code."""
    if kind in ("sigmoid", "reverse_sigmoid"):
        middle = x - (low + high) / 2
        rising = (10 * k * middle > 0).astype(float) if low == high else sigma(10 * k / (high - low) * middle)
        return rising if kind == "sigmoid" else 1 - rising
    if kind == "double_sigmoid":
        return np.where(x < (low + high) / 2, sigma(si / div * (x - low)), 1 - sigma(se / div * (x - high)))
    return {"step": (x >= low) & (x <= high), "left_step": x <= low, "right_step": x >= high}[kind].astype(float)


@pytest.mark.parametrize(
    ("kind", "settings", "tolerance"),
    [
        ("sigmoid", {"low": 0.2, "high": 0.6, "k": 0.5}, 1e-12),
        ("sigmoid", {"low": -3.0, "high": 9.0, "k": 0.25}, 1e-12),
        ("sigmoid", {"low": 5.0, "high": 1.0, "k": 0.4}, 1e-12),
        ("sigmoid", {"low": 1.0, "high": 5.0, "k": -0.4}, 1e-12),
        ("sigmoid", {"low": 2.0, "high": 2.0, "k": 0.5}, 0),
        ("reverse_sigmoid", {"low": -12.0, "high": -6.0, "k": 0.25}, 1e-12),
        ("reverse_sigmoid", {"low": 2.0, "high": 2.0, "k": 0.5}, 0),
        ("reverse_sigmoid", {"low": 5.0, "high": 1.0, "k": -0.4}, 1e-12),
        ("double_sigmoid", {"low": 200.0, "high": 500.0, "coef_div": 500.0, "coef_si": 20.0, "coef_se": 20.0}, 1e-3),
        ("double_sigmoid", {"low": 1.0, "high": 4.0, "coef_div": 3.0, "coef_si": 10.0, "coef_se": 15.0}, 1e-3),
        ("double_sigmoid", {"low": 150.0, "high": 400.0}, 1e-3),
        ("step", {"low": 1.0, "high": 3.0}, 0),
        ("left_step", {"low": 1.5}, 0),
        ("right_step", {"high": 1.5}, 0),
    ],
)
def test_a_converted_transform_has_the_values_of_its_original(
    kind: str, settings: dict[str, float], tolerance: float
) -> None:
    remarks = Remarks()
    made, trouble = transform_of(Table({"transform": {"type": kind, **settings}}, (), remarks))
    assert (trouble, remarks.problems, remarks.differences) == (None, [], [])
    assert made is not None
    arguments = {name: value for name, value in made.items() if name != "kind"}
    ours = TRANSFORMS[made["kind"]](**arguments)
    low, high = settings.get("low", settings.get("high", 0.0)), settings.get("high", settings.get("low", 0.0))
    x = np.unique([*np.linspace(min(low, high) - 20, max(low, high) + 20, 4001), low, high, (low + high) / 2])
    names = {"coef_div": "div", "coef_si": "si", "coef_se": "se"}
    theirs = reinvent(
        kind, x, low, high, **{names.get(key, key): settings[key] for key in settings if key not in ("low", "high")}
    )
    assert np.abs(ours(x) - theirs).max() <= tolerance


def test_a_double_sigmoid_with_flat_flanks_is_said_with_the_largest_difference() -> None:
    remarks = Remarks()
    flat = {"type": "double_sigmoid", "low": 200.0, "high": 500.0, "coef_div": 500.0, "coef_si": 5.0, "coef_se": 5.0}
    made, trouble = transform_of(Table({"transform": flat}, (), remarks))
    assert made is not None
    assert trouble is None
    (difference,) = remarks.differences
    assert "differ by up to 0.03" in difference.message


@pytest.mark.parametrize(
    ("transform", "reason"),
    [
        ({"type": "exponential_decay", "k": 1.0}, "falls exponentially"),
        ({"type": "value_mapping", "mapping": {"a": 1}}, "no transform maps texts"),
        ({"type": "sigmoid", "low": 0, "high": 1, "k": 0}, "0.5 for every molecule"),
        ({"type": "double_sigmoid", "low": 5, "high": 1}, "is not below"),
        ({"type": "step", "low": 5, "high": 1}, "is above"),
        ({"type": "tanh"}, "not one of those"),
    ],
)
def test_transforms_without_a_counterpart_say_why(transform: dict[str, Any], reason: str) -> None:
    made, trouble = transform_of(Table({"transform": transform}, (), Remarks()))
    assert made is None
    assert trouble is not None
    assert reason in trouble


def test_properties_have_the_values_of_the_components_that_they_stand_for(molecules: list[str]) -> None:
    theirs = {
        "molecularweight": Descriptors.MolWt,
        "tpsa": Descriptors.TPSA,
        "numatomstereocenters": rdMolDescriptors.CalcNumAtomStereoCenters,
        "hbondacceptors": Lipinski.NumHAcceptors,
        "hbonddonors": Lipinski.NumHDonors,
        "numrotbond": Lipinski.NumRotatableBonds,
        "csp3": Lipinski.FractionCSP3,
        "numheavyatoms": Lipinski.HeavyAtomCount,
        "numheteroatoms": Lipinski.NumHeteroatoms,
        "numrings": Lipinski.RingCount,
        "numaromaticrings": Lipinski.NumAromaticRings,
        "numaliphaticrings": Lipinski.NumAliphaticRings,
        "largestringsize": lambda m: max((len(ring) for ring in m.GetRingInfo().AtomRings()), default=0),
        "slogp": Crippen.MolLogP,
    }
    assert set(theirs) == set(PROPERTIES)
    descriptors = {name.lower(): function for name, function in Descriptors._descList}
    for smiles in molecules[:20]:
        molecule = Chem.MolFromSmiles(smiles)
        for name, function in theirs.items():
            assert property_value(PROPERTIES[name], molecule) == pytest.approx(function(molecule)), name
        for name, ours in DESCRIPTORS.items():
            assert property_value(ours, molecule) == pytest.approx(descriptors[name](molecule)), name


def test_text_of_tables_is_read_back_as_it_was() -> None:
    data = {
        "a": {"x y": 1e300, "b": True, "t": '"\\\x7f\n\t', "list": [1, [2.5], {"k": "v"}]},
        "b": [{"c": []}, {"d": {}}],
    }
    data["a"]["tables"] = [{"one": 1}, {"two": {"three": [{}]}}]
    assert tomllib.loads(toml_text(data, comment=["a comment"])) == data
    with pytest.raises(TypeError, match="NoneType"):
        toml_value(None)


def test_the_command_writes_the_file_and_says_the_differences(molbuffer: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "staged.toml").write_text(HEAD + STAGE + QED)
    done = molbuffer("config", "from-reinvent", tmp_path / "staged.toml", "--out", tmp_path / "campaign.toml")
    assert (done.returncode, done.stdout) == (0, "")
    next_step = f"molbuffer run {tmp_path / 'campaign.toml'} --store lab"
    assert f"next, with zinc-gru in place of the missing prior: {next_step}" in done.stderr
    assert "line 7, key `parameters.prior_file`: there is no file" in done.stderr
    assert molbuffer("config", "check", tmp_path / "campaign.toml").returncode == 0
    done = molbuffer("config", "from-reinvent", tmp_path / "staged.toml", "--json")
    told = json.loads(done.stdout)
    assert tomllib.loads(told["configuration"])["campaign"]["seed"] == 11
    assert {"line", "key", "message"} == set(told["differences"][0])
    assert molbuffer("config", "from-reinvent", tmp_path / "gone.toml").returncode == 1
