"""Convert a configuration file of REINVENT 4 to the configuration of a campaign."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from molbuffer.flows.errors import UsageError
from molbuffer.flows.settings import (
    ConfigurationError,
    Problem,
    locate,
    missing_devices,
    toml_problem,
)
from molbuffer.flows.tools.reinvent_config.accepted import accepted
from molbuffer.flows.tools.reinvent_config.components import Scoring, scoring_of
from molbuffer.flows.tools.reinvent_config.reading import Remarks, Table
from molbuffer.flows.tools.reinvent_config.sections import (
    diversity_of,
    penalty_of,
    policy_of,
    replay_of,
    say_parameters,
    stage_end_of,
    training_of,
)
from molbuffer.flows.tools.reinvent_config.transforms import plain_name

LARGEST = 1 << 20
"""The most bytes of a file that is read; files written by hand have about a hundredth of that."""

_AGGREGATIONS = {
    "arithmeticmean": "arithmetic_mean",
    "customsum": "arithmetic_mean",
    "geometricmean": "geometric_mean",
    "customproduct": "geometric_mean",
}
_OTHER_RUNS = {
    "transfer_learning": "`molbuffer pretrain FILE --from POLICY --store DIR` is transfer learning",
    "scoring": "`molbuffer score FILE --config CAMPAIGN.toml` scores the molecules of a file",
}


@dataclass(frozen=True)
class Conversion:
    """The result of the conversion of a file of REINVENT 4.

    Attributes:
        text: a configuration that ``molbuffer config check`` accepts.
        differences: the keys without a counterpart, or with one that behaves differently, each with its line in the
            file and the reason.
        advice: the command to run with the configuration.
    """

    text: str
    differences: tuple[Problem, ...]
    advice: str


def convert_reinvent(file: Path) -> Conversion:
    """Convert a configuration of REINVENT 4 for staged learning or sampling to that of a campaign.

    Args:
        file: the TOML file; files that it names are looked for in its folder.

    Raises:
        ConfigurationError: the file is no configuration of REINVENT 4; the error lists all problems with their lines.
        UsageError: the file is of another run type, or of a generator that has no counterpart.
    """
    text, content = _read(file)
    remarks = Remarks()
    table = Table(content, (), remarks)
    run_type = table.text("run_type").lower()
    if run_type not in ("staged_learning", "sampling"):
        advice = _OTHER_RUNS.get(run_type, "expected staged_learning or sampling")
        raise UsageError(f"{file}: the run_type {run_type!r} cannot be converted: {advice}")
    made = _staged(table, file) if run_type == "staged_learning" else _sampling(table, file)
    table.say_unknown()
    if remarks.problems:
        raise ConfigurationError(str(file), locate(remarks.problems, text))
    written, refused = accepted(made.data, file)
    differences = locate([*remarks.differences, *refused], text)
    return Conversion(written, tuple(differences), made.advice)


@dataclass(frozen=True)
class _Made:
    data: dict[str, Any]
    advice: str


def _read(file: Path) -> tuple[str, dict[str, Any]]:
    try:
        if file.stat().st_size > LARGEST:
            raise UsageError(f"{file} has more than {LARGEST:,} bytes, which is too large for a configuration")
        text = file.read_text(encoding="utf-8")
        return text, tomllib.loads(text)
    except OSError as error:
        raise ConfigurationError(str(file), [Problem((), f"cannot be read: {error.strerror}")]) from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(str(file), [Problem((), f"is not UTF-8 text: {error}")]) from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(str(file), [toml_problem(error)]) from error
    except RecursionError as error:
        raise ConfigurationError(str(file), [Problem((), "its tables are nested too deeply")]) from error


def _campaign(table: Table, file: Path, batch_size: int, iterations: int) -> dict[str, Any]:
    """Return the table [campaign], and remark on the top-level keys of the file that have no counterpart."""
    table.differs("tb_logdir", "the store has the metrics; `[logging] tensorboard` shows them in TensorBoard, too")
    table.differs("json_out_config", "the store has the configuration of each run, in the table runs")
    table.differs("responder", "a run does not report its progress to a service")
    table.differs("scheduler", "it belongs to transfer learning")
    seed = table.count("seed", 0, least=0)
    device = table.text("device", "cpu")
    if device not in ("cpu", "auto", "mps") and not device.startswith("cuda"):
        table.differs("device", f"{device!r} is no device here; the device is cpu")
        device = "cpu"
    if list(missing_devices({"campaign": {"device": device}})):
        table.differs(
            "device", f"this machine has no {device}; auto takes the fastest device of the machine of the run"
        )
        device = "auto"
    return {
        "name": file.stem,
        "seed": seed,
        "iterations": iterations,
        "batch_size": batch_size,
        **({} if device == "cpu" else {"device": device}),
    }


def _parameters(table: Table) -> Table:
    found = table.table("parameters")
    if found is None:
        table.wrong("parameters", "the table [parameters] is missing")
        return Table({}, ("parameters",), table.remarks)
    if found.text("smiles_file"):
        raise UsageError(
            "parameters.smiles_file belongs to LibInvent, LinkInvent, Mol2Mol and PepInvent, which have no "
            "counterpart; "
            "contrastive samplers make molecules from given ones (`molbuffer config example`)"
        )
    return found


def _live(parameters: Table, *, unique: str) -> dict[str, Any]:
    temperature = parameters.number("temperature", 1.0)
    return {
        "kind": "model",
        "name": "live",
        "unique": parameters.flag(unique, True),
        **({} if temperature == 1 else {"temperature": temperature}),
    }


def _standardisation(parameters: Table) -> dict[str, Any]:
    return {} if parameters.flag("isomeric_smiles", False) else {"standardisation": {"stereo": "drop"}}


def _staged(table: Table, file: Path) -> _Made:
    parameters, stages = _parameters(table), table.tables("stage")
    if not stages:
        table.wrong("stage", "the file has no [[stage]]")
    folder = file.absolute().parent
    prior = policy_of(parameters, "prior_file", folder)
    same = parameters.text("agent_file", parameters.text("prior_file")) == parameters.text("prior_file")
    agent = prior if same else policy_of(parameters, "agent_file", folder)
    batch_size = parameters.count("batch_size", 100)
    live = {**_live(parameters, unique="unique_sequences"), "p_batch": 1.0}
    say_parameters(parameters, several_stages=len(stages) > 1)
    ends = [stage_end_of(stage) for stage in stages]
    iterations = sum(end["iterations"] for end in ends) or 1
    data: dict[str, Any] = {"campaign": {}, "policy": {"prior": prior, **({} if same else {"agent": agent})}}
    scorings = [_scoring(stage, folder) for stage in stages]
    if scorings:
        data["objective"], data["filters"] = scorings[0]
    data |= _standardisation(parameters)
    data |= _diversity(table, stages)
    if (inception := table.table("inception")) is not None:
        batch_size, data["buffer"], of_live = replay_of(inception, batch_size, iterations)
        live |= of_live
    data["samplers"] = [live]
    data["training"] = training_of(table.table("learning_strategy"))
    data |= _stages(stages, ends, scorings)
    data["campaign"] = _campaign(table, file, batch_size, iterations)
    parameters.say_unknown()
    return _Made({key: value for key, value in data.items() if value}, "molbuffer run {out} --store lab")


def _stages(stages: Sequence[Table], ends: Sequence[dict[str, Any]], scorings: Sequence[Any]) -> dict[str, Any]:
    if len(stages) < 2 and not any("mean_reward" in end for end in ends):
        return {}
    found = []
    for i, (end, (objective, filters)) in enumerate(zip(ends, scorings, strict=True)):
        changes = {"objective": objective, "filters": filters} if i else {}
        found.append({"name": f"stage {i + 1}", **end, **changes})
    if len(stages) > 1:
        stages[0].differs(
            "max_steps", "a stage that reaches max_steps is followed by the next one; REINVENT ends the whole run then"
        )
    return {"stages": found}


def _scoring(stage: Table, folder: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    table = stage.table("scoring")
    if table is None:
        stage.wrong("scoring", "the table [stage.scoring] is missing")
        return {}, []
    aggregation = _aggregation(table)
    tables = [*table.tables("component"), *_components_of_file(table, folder)]
    if table.count("parallel", 1) > 1:
        table.differs("parallel", "components distribute molecules over the cores by themselves")
    if table.flag("use_pumas", False):
        table.differs("use_pumas", "the transforms correspond to those of REINVENT without this key")
    scoring: Scoring = scoring_of(tables, folder)
    table.say_unknown()
    stage.table("diversity_filter")
    stage.say_unknown()
    return {"aggregation": aggregation, "components": scoring.components}, scoring.filters


def _aggregation(table: Table) -> str:
    kind = plain_name(table.text("type"))
    if kind not in _AGGREGATIONS:
        table.wrong("type", f"got {table.text('type')!r}, expected one of: {', '.join(_AGGREGATIONS)}")
    return _AGGREGATIONS.get(kind, "geometric_mean")


def _components_of_file(table: Table, folder: Path) -> list[Table]:
    name, form = table.text("filename"), table.text("filetype", "toml")
    if not name:
        return []
    file = folder / name
    try:
        text = file.read_text(encoding="utf-8") if file.stat().st_size <= LARGEST else ""
        content = json.loads(text) if (file.suffix or f".{form}") == ".json" else tomllib.loads(text)
    except (OSError, ValueError, RecursionError) as error:
        table.wrong("filename", f"the scoring of {file} cannot be read: {error}")
        return []
    if not isinstance(content, Mapping):
        table.wrong("filename", f"{file} has no table `component`")
        return []
    # Problems of the scoring file get the line of the key that names it in the main file.
    inside = Table(content, (*table.path, "filename"), table.remarks)
    found = inside.tables("component")
    inside.text("type")
    inside.say_unknown()
    return found


def _diversity(table: Table, stages: Sequence[Table]) -> dict[str, Any]:
    of_stages = [stage.table("diversity_filter") for stage in stages]
    own = table.table("diversity_filter")
    penalty = table.table("intrinsic_penalty")
    for stage, of_stage in zip(stages, of_stages, strict=True):
        if of_stage is not None and (own is not None or of_stage.content != (of_stages[0] or of_stage).content):
            stage.differs(
                "diversity_filter", "all stages share one diversity memory: that of the run, or else the first one"
            )
    chosen = own or next((each for each in of_stages if each is not None), None)
    if chosen is not None:
        if penalty is not None:
            table.differs("intrinsic_penalty", "a run has one diversity memory, that of the diversity filter")
        found = diversity_of(chosen)
    else:
        found = None if penalty is None else penalty_of(penalty)
    return {"diversity": found} if found else {}


def _sampling(table: Table, file: Path) -> _Made:
    parameters = _parameters(table)
    policy = policy_of(parameters, "model_file", file.absolute().parent)
    live = _live(parameters, unique="unique_molecules")
    number = parameters.count("num_smiles", 100)
    if "num_smiles" not in parameters:
        parameters.wrong("num_smiles", "the key is missing")
    parameters.differs(
        "output_file", f"`molbuffer sample POLICY -n {number} --out FILE` writes a file, and stores nothing"
    )
    parameters.flag("randomize_smiles", True)
    parameters.text("sample_strategy")
    parameters.differs("target_smiles_path", "likelihoods of given molecules are not part of a build")
    parameters.differs("target_nll_file", "likelihoods of given molecules are not part of a build")
    filters = []
    if (alerts := table.table("filter")) is not None:
        filters = scoring_of([_as_component(alerts)], file.parent).filters
    parameters.differs(None, "a sampling has no score; a campaign needs one, and gets drug-likeness (qed)")
    data = {
        "campaign": _campaign(table, file, min(64, number), 1),
        "policy": {"prior": policy},
        "objective": {"components": [{"kind": "qed"}]},
        "filters": filters,
        **_standardisation(parameters),
        "samplers": [{**live, "buffer_size": number, "p_batch": 1.0}],
    }
    parameters.say_unknown()
    return _Made({key: value for key, value in data.items() if value}, "molbuffer build {out} --store lab")


def _as_component(table: Table) -> Table:
    """Return the filter of a sampling in the form of the equivalent scoring component."""
    params = dict(table.content)
    content = {"custom_alerts": {"endpoint": [{"name": "filter", "params": params}]}}
    return Table(content, table.path, table.remarks)
