"""Each key of a configuration file changes something of what a run is made of: none is read and then forgotten.

The keys are those of the JSON schema, so that a new key is tested as soon as it is there.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from importlib.util import find_spec
from string import Template
from typing import Any

import pytest

from molbuffer.flows.settings.problems import ConfigurationError
from molbuffer.flows.settings.settings import Settings, settings_schema
from molbuffer.samplers.errors import LatentsError

LEARNING = ("optimise", "learning_rate", "gradient_norm", "baseline", "replay_ratio_clip")
"""The keys of samplers that train latents."""

Table = dict[str, Any]
Assembled = Callable[..., Mapping[str, str]]

PIPELINE, SAMPLERS = "online.loader.live.pipeline", "online.loader.live.samplers"

WHERE: Mapping[str, tuple[str, ...]] = {
    "campaign.name": ("run.name",),
    "campaign.seed": (
        "run.seed",
        "online.loader.plan.seed",
        "online.loader.live.campaign_seed",
        "offline.loader.plan.seed",
    ),
    "campaign.iterations": ("online.loader.plan",),
    "campaign.batch_size": ("online.loader.plan", "offline.loader.plan"),
    "campaign.keep_checkpoints": ("online.writer.keep.checkpoints", "offline.writer.keep.checkpoints"),
    "campaign.keep_policies": ("online.writer.keep.policies", "offline.writer.keep.policies"),
    "campaign.max_failed_share": ("failures",),
    "campaign.max_oracle_calls": (f"{PIPELINE}.calls", "online.course"),
    "campaign.max_minutes": ("online.course", "offline.course"),
    "campaign.patience": ("online.course",),
    "campaign.patience_top": ("online.course",),
    "policy.prior": ("online.learner.prior", "offline.learner.prior"),
    "policy.agent": ("online.learner._start", "offline.learner._model"),
    "objective": (f"{PIPELINE}.scorer.objective",),
    "objective.choose": (f"{PIPELINE}.choice",),
    "standardisation": (f"{PIPELINE}.standardisation", f"{PIPELINE}.scorer.objective", SAMPLERS),
    # Only molecules that are drawn have a length.
    "standardisation.max_length": (f"{PIPELINE}.standardisation",),
    "filters": (f"{PIPELINE}.filters",),
    "contrastive": (f"{PIPELINE}.template",),
    "screening": (f"{PIPELINE}.screener.screening",),
    "diversity": ("online.loader.diversity.settings",),
    "buffer": ("online.loader.buffer.selection",),
    "buffer.chunk_rows": ("chunks",),
    "runner": ("workers",),
    "buffer.build_every": ("online.loader.plan",),
    "buffer.max_policy_lag": ("online.loader.buffer.replay",),
    "buffer.randomise": ("online.loader.buffer.replay",),
    "buffer.runs": ("online.loader.buffer.view",),
    "buffer.update_size": ("online.loader.plan.replay",),
    "samplers": (SAMPLERS,),
    "samplers.base_sampler": (f"{SAMPLERS}.0.base_sampler",),
    **{f"samplers.{key}": ("online.trainables",) for key in LEARNING},
    "actors": ("online.loader.actors.plan",),
    "training": ("online.learner", "offline.learner"),
    "training.mode": ("online.loader.buffer.view",),
    "training.kl_weight": ("online.learner",),
    "training.loss": ("online.learner",),
    "training.sigma": ("online.learner",),
    "training.train_on_invalid": (
        "online.loader.plan",
        "online.loader.buffer.view",
        "offline.loader.buffer.view",
    ),
    "training.live_in_updates": ("online.loader.plan.replay",),
    "training.updates": ("online.loader.plan.replay",),
    "training.checkpoint_every": ("online.checkpoint_every", "offline.checkpoint_every"),
    "guard": ("online.course",),
    "logging": ("logs",),
    "offline": ("offline.loader.buffer.selection",),
    "offline.steps": ("offline.loader.plan",),
    "offline.batch_size": ("offline.loader.plan",),
    "offline.randomise": ("offline.loader.plan.replay",),
    "offline.where": ("offline.loader.buffer.view",),
    "offline.loss": ("offline.learner",),
    "offline.sigma": ("offline.learner",),
    "offline.learning_rate": ("offline.learner",),
    "offline.cloning_weight": ("offline.learner",),
    "offline.kl_weight": ("offline.learner",),
    **{
        f"offline.{key}": ("offline.judging",)
        for key in ("relabel", "validation", "split", "validate_every", "patience", "criterion", "evaluation")
    },
}
"""The objects in which keys must show, all of them, by the beginning of the keys' names; the longest one counts. Where
a part of an object has the name of the key, this part must change."""

OBJECTS = {
    "filters": "Reject",
    "samplers": "Nothing",
    "transform": "Straight",
    "selection": "Any",
    "loss": "Plain",
    "choose": "First",
    "model": "Constant",
    "acquisition": "InOrder",
    "others": "Lines",
}
"""A class of the user for each family, by the key that it stands under; another has the same name with "Too"."""

ELSEWHERE: Mapping[str, str] = {
    "actors": "a training with actors has the defaults of its keys without the table",
    "actors.local": "the processes that the command starts; `test_local_actors.py` follows it to these",
    "policy.models": "the kinds of models of a process, before a policy is opened",
    "policy.folder": "where the modules of these models are",
    "campaign.agents": "the processes that the command starts; `test_agents.py` follows it to these",
    "campaign.device": "a test has no device but the CPU; `test_devices_of_runs.py` follows the key to the models",
    "samplers[history].build_buffer": "a sampler of stored rows takes no part in builds",
    "stages": "the other keys, laid over the rest of the file, stage by stage; `test_stages.py` follows them",
    "campaign.authors": "archives of the campaign's runs state them; `test_cli_archive.py` follows both keys to these",
    "campaign.license": "archives of the campaign's runs state it",
    "buffer.pending_timeout": "a training waits only with a backlog; `test_backlog_settings.py` follows the key",
    "campaign.offline": "`molbuffer run` chooses by it which of two flows it starts, before anything is made",
    **{f"{key}[python].folder": "the class that is found there is the same one" for key in OBJECTS},
}
"""The keys that show in no object, with the reason."""

REFUSED: Mapping[str, type[Exception]] = {
    # A latent space has one kind of prior; the key is there to be refused where it is another than was meant.
    "samplers[prior].prior": LatentsError,
}
"""The keys whose other values are refused as soon as objects are made."""

PARTS = ("run", "logs", "online", "offline", "failures", "chunks", "workers")
"""What ``assembled`` can assemble."""

BASE: Table = {
    "campaign": {"name": "keys", "batch_size": 8},
    "policy": {"prior": "$folder/vae"},
    "objective": {"components": [{"kind": "similarity", "target": "CCO"}]},
    "samplers": [{"kind": "dataset", "name": "file", "path": "$folder/some.csv", "buffer_size": 8}],
}
"""A configuration to which the table with the key is added."""
LIVE: list[Table] = [{"kind": "model", "name": "agent", "buffer_size": 8, "p_batch": 1.0}]
"""The samplers of a configuration with a loss: their rows suit every loss but one that needs the best agent's, too."""
REMINDED: list[Table] = [
    {"kind": "model", "name": "agent", "buffer_size": 8, "p_batch": 0.5},
    {"kind": "model", "name": "reminder", "policy": "best", "p_batch": 0.5},
]
"""The samplers of a configuration with the loss that does."""

RISING = {"kind": "linear", "low": 0, "high": 1}
RANGE = {"low": 0.25, "high": 0.75}
FILE = {"path": "$folder/some.csv"}
OF_FILE = {"base_sampler": {"kind": "dataset", **FILE}}

TABLES: Mapping[str, Table] = {
    **{f"{key}[python]": {"object": f"plugins:{name}", "folder": "$folder"} for key, name in OBJECTS.items()},
    "components[chemprop]": {"model": "$examples/models/logp.pt"},
    "components[onnx]": {"model": "$examples/models/logp.onnx", "features": "morgan_counts", "bits": 1024},
    "components[external]": {"command": ["sh", "-c", "cat"], "revision": "1", "folder": "$folder"},
    "components[http]": {"urls": ["http://a/score"], "revision": "1"},
    "components[imported]": {"scores": "assay"},
    "components[pmo]": {"task": "zaleplon_mpo"},
    "components[property]": {"property": "logp", "transform": RISING},
    "components[python]": {"function": "scorers:one", "folder": "$folder"},
    "components[rediscovery]": {"target": "CCO"},
    "components[sa_score]": {"transform": RISING},
    "components[similarity]": {"target": "CCO"},
    "components[substructure]": {"smarts": "CC"},
    "components[vina]": {
        "receptor": "$examples/docking/receptor.pdbqt",
        "ligand": "$examples/docking/ligand.sdf",
        "transform": RISING,
    },
    "others[mlflow]": {"uri": "sqlite:///$folder/mlflow.db"},
    "others[tensorboard]": {"folder": "$folder/runs"},
    "filters[elements]": {"allowed": ["C"]},
    "filters[property]": {"name": "logp", "min": 1, "max": 5},
    "filters[ring_size]": {"min": 4, "max": 7},
    "filters[substructure]": {"must_have": ["CC"]},
    "samplers[contrastive]": {"output_model": "$folder/pairs", **OF_FILE},
    "samplers[dataset]": FILE,
    "samplers[graph_ga]": OF_FILE,
    "samplers[latent]": {"molecules": "$folder/some.csv"},
    "samplers[mutation]": OF_FILE,
    "samplers[pair_dataset]": FILE,
    "selection[mixture]": {"parts": [{}]},
    "transform[desirability]": {"target": 0.5, **RANGE},
    "transform[double_sigmoid]": RANGE,
    "transform[gaussian]": {"mean": 0.5, "sigma": 0.25},
    "transform[linear]": RANGE,
    "transform[reverse_sigmoid]": RANGE,
    "transform[sigmoid]": RANGE,
    "transform[step]": RANGE,
}
"""What the tables of each kind need beside the kind."""
SLOTS = {"base_sampler": "samplers", "source_filters": "filters", "select": "selection"}
"""The keys that hold tables of the same kinds as another key does."""
SIZES = {"name": "tested", "buffer_size": 8, "p_batch": 0.5}
ONE_VALUE: Mapping[str, object] = {
    "components[chemprop].statistic": "std",
    "components[onnx].bits": 2048,
    "components[onnx].descriptors": ["TPSA"],
    "samplers[history].buffer_size": 8,
}
"""The keys that have one value in a kind of table, with another that is refused."""

IN_FOLDER = {"folder": "$folder"}
INSTEAD = {"molecules": None}
BOX = {"ligand": None, "center": [0, 0, 0], "size": [9, 9, 9]}
BEFORE: Mapping[str, Table] = {
    "policy.models": IN_FOLDER,
    "objective.mode": {
        "components": [{"kind": "python", "function": "scorers:one", "folder": "$folder", "cost": "high"}]
    },
    "objective.named": {"components": None, "named": "pmo:qed"},
    "campaign.patience_top": {"patience": 5},
    "components[vina].center": BOX,
    "components[vina].size": BOX,
    "objective.reference": {"aggregation": "pareto", "reference": "$folder/front.csv"},
    "diversity.bonus_weight": {"bonus": "rnd"},
    "runner.address": {"kind": "dask"},
    "diversity.min_similarity": {"buckets": "similarity"},
    "offline.sigma": {"loss": "reinvent"},
    **{
        f"samplers[{kind}].{key}": {"optimise": True}
        for kind, keys in [("prior", LEARNING[1:]), ("latent", LEARNING[1:-1])]
        for key in keys
    },
    "samplers[latent].vectors": {**INSTEAD, "vectors": "$folder/some.npy"},
    "samplers[latent].best": {**INSTEAD, "best": 2},
    "samplers[latent].stored_latents": {**INSTEAD, "best": 2},
    "samplers[latent].learnt_latents": {**INSTEAD, "learnt_latents": "$vectors"},
    "samplers[prior].learnt_prior": {"learnt_prior": "$prior"},
}
"""What must stand beside a key, or in its place before the change, so that the key can have another value."""

VALUES: Mapping[str, object] = {
    "actors.tolerance": 64.0,
    "actors.min_rows": 64,
    "campaign.authors": ["Ada Lovelace"],
    "campaign.device": "auto",
    "campaign.license": "CC-BY-4.0",
    **{f"{key}[python].object": f"plugins:{name}Too" for key, name in OBJECTS.items()},
    **{f"{key}[python].folder": "$folder/elsewhere" for key in OBJECTS},
    "components[chemprop].column": 0,
    "components[chemprop].model": "$folder/logp.pt",
    "components[chemprop].output": "logp",
    "components[onnx].column": 0,
    "components[onnx].model": "$folder/logp.onnx",
    "components[onnx].output": "logp",
    "components[external].command": ["sh", "-c", "true"],
    "components[external].files": ["some.csv"],
    "components[external].folder": "$folder/elsewhere",
    "components[http].headers": {"X-Team": "chem"},
    "components[http].parameters": {"x": 2},
    "components[http].urls": ["http://b/score"],
    "components[imported].scores": "another",
    "components[pmo].task": "median1",
    "components[property].property": "tpsa",
    "transform[desirability].target": 0.6,
    "screening.runs": ["all"],
    "components[python].files": ["some.csv"],
    "components[python].folder": "$folder/elsewhere",
    "components[python].function": "scorers:two",
    "components[python].parameters": {"x": 2},
    "components[rediscovery].target": "CCN",
    "components[similarity].target": "CCN",
    "components[substructure].smarts": "CN",
    "components[vina].center": [1, 0, 0],
    "components[vina].ligand": "$folder/ligand.sdf",
    "components[vina].receptor": "$folder/receptor.pdbqt",
    "components[vina].size": [9, 9, 8],
    "buffer.chunk_rows": 1,
    "runner.address": "tcp://host:8786",
    "logging.mlflow": "sqlite:///$folder/mlflow.db",
    "logging.tensorboard": "$folder/runs",
    "others[mlflow].experiment": "another",
    "others[mlflow].uri": "http://localhost:5000",
    "others[tensorboard].folder": "$folder/other-runs",
    "filters[alerts].catalogs": ["BRENK"],
    "filters[elements].allowed": ["C", "N"],
    "filters[property].name": "tpsa",
    "filters[substructure].must_have": ["CN"],
    "filters[substructure].must_not_have": ["CN"],
    "objective.reference": "$folder/other-front.csv",
    "filters[unlikely_groups].allow": ["imines"],
    "objective.named": "pmo:median1",
    "offline.where": "reward > 0.5",
    "parts.where": "reward > 0.5",
    "policy.agent": "$folder/stranger",
    "policy.folder": "$folder/elsewhere",
    "policy.models": ["plugins:AModel"],
    "policy.prior": "$folder/stranger",
    "samplers[contrastive].output_model": "$folder/other-pairs",
    "samplers[dataset].column": "other",
    "samplers[dataset].id_column": "other",
    "samplers[dataset].path": "$folder/more.csv",
    "samplers[graph_ga].runs": ["all"],
    "samplers[history].runs": ["all"],
    "samplers[history].where": "reward > 0.5",
    "samplers[latent].column": "other",
    "samplers[latent].learnt_latents": "$other_vectors",
    "samplers[latent].molecules": "$folder/more.csv",
    "samplers[latent].policy": "$folder/stranger",
    "samplers[latent].vectors": "$folder/more.npy",
    "samplers[model].policy": "$folder/stranger",
    "samplers[pair_dataset].id_column": "other",
    "samplers[pair_dataset].path": "$folder/more.csv",
    "samplers[pair_dataset].source_column": "other",
    "samplers[pair_dataset].target_column": "other",
    "samplers[prior].learnt_prior": "$other_prior",
    "samplers[prior].prior": "spherical",
    "samplers[prior].policy": "$folder/stranger",
    "selection[mixture].parts": [{}, {}],
}
"""Other values of the keys whose values name something or are written in a language."""

PACKAGES = {"chemprop": "chemprop", "onnx": "onnxruntime", "vina": "vina"}
"""What the components of some kinds need, by kind."""
EXTRAS = {"chemprop": "chemprop", "onnx": "onnx", "vina": "docking"}
OF_GATES: Mapping[str, Table] = {"after": {"after": "other > 0.5"}, "otherwise": {"after": "other > 0.5"}}
"""What must stand beside the keys of a gate, which compares the value of another component."""

FREE_TEXTS = frozenset(
    {"auth", "auth_header", "auth_scheme", "id_column", "label", "name", "output", "revision", "std"}
)
"""The keys that any text is a value of."""


@dataclass(frozen=True)
class Key:
    """A key of the schema: the tables that lead to it, each as (key, kind), its own name, and its schema."""

    tables: tuple[tuple[str, str | None], ...]
    name: str
    schema: Mapping[str, Any]

    def __str__(self) -> str:
        return ".".join([*(f"{key}[{kind}]" if kind else key for key, kind in self.tables), self.name])

    @property
    def within(self) -> str:
        """The key in its own table, which is called alike wherever it may be."""
        return f"{_called(*self.tables[-1])}.{self.name}" if self.tables else self.name

    @property
    def beginnings(self) -> list[str]:
        """The beginnings of the name without kinds, the longest first."""
        names = [*(key for key, _ in self.tables), self.name]
        return [".".join(names[:end]) for end in range(len(names), 0, -1)]


def _called(key: str, kind: str | None) -> str:
    return f"{_slot(key)}[{kind}]" if kind else key


def _slot(key: str) -> str:
    return SLOTS.get(key, key)


def keys_of(schema: Mapping[str, Any], tables: tuple[tuple[str, str | None], ...], met: set[Any]) -> Iterator[Key]:
    """Yield the keys of a table and of those inside it; tables of one kind under one key are alike in all places."""
    for name, of_key in schema["properties"].items():
        kinds = list(_kinds(of_key))
        if not kinds or len(kinds) > 1 or "anyOf" in of_key or of_key.get("type") == "array":
            yield Key(tables, name, of_key)
        # Those first that need no other key, so that any of the kinds inside them can be put in.
        for kind, of_table in sorted(kinds, key=lambda each: _called(name, each[0]) in TABLES):
            if (name, kind) not in met:
                met.add((name, kind))
                yield from keys_of(of_table, (*tables, (name, kind)), met)


def _kinds(schema: Mapping[str, Any]) -> Iterator[tuple[str | None, Mapping[str, Any]]]:
    """Yield the tables that a key may have as its value or in its list, with their kinds."""
    for option in (schema.get("items"), *schema.get("anyOf", ()), *schema.get("oneOf", ())):
        yield from _kinds(option) if option else ()
    if "$ref" in schema:
        table = settings_schema()["$defs"][schema["$ref"].rpartition("/")[2]]
        yield table["properties"].get("kind", {}).get("const"), table


KEYS = {str(key): key for key in keys_of(settings_schema(), (), {("stages", None)})}
"""The keys, less those of stages, which are keys of other tables, laid over these (``test_stages.py``)."""

KINDS: Mapping[str, list[str]] = {
    called: sorted({kind for key in KEYS.values() for name, kind in key.tables if kind and _slot(name) == called})
    for called in sorted({_slot(name) for key in KEYS.values() for name, kind in key.tables if kind})
}
"""The kinds of tables, by the key that they stand under."""
LISTS = frozenset(key.name for key in KEYS.values() if key.schema.get("type") == "array" and list(_kinds(key.schema)))
"""The keys that hold lists of tables."""


def configuration(key: Key, changes: Table) -> Table:
    """Return a configuration with the tables that lead to a key, and changes in the last of them."""
    root = deepcopy(BASE)
    if any(name == "loss" for name, _ in key.tables):
        reminded = any(kind == "best_agent_reminder" for _, kind in key.tables)
        root["samplers"] = deepcopy(REMINDED if reminded else LIVE)
    if any(name == "actors" for name, _ in key.tables):
        root.setdefault("training", {})["mode"] = "async"
    table = root
    for name, kind in key.tables:
        if kind is None:
            held = table.setdefault(name, in_place(name, {}))
            table = held[0] if name in LISTS else held
        else:
            table[name] = in_place(name, inner := table_of(name, kind))
            if name == "samplers" and f"{_called(name, kind)}.buffer_size" in ONE_VALUE:
                table[name].append({"kind": "model", "name": "filler", "buffer_size": 8})
            if name == "components" and key.name in OF_GATES:
                table[name].append({"kind": "qed", "name": "other"})
            table = inner
    table.update(changes)
    return root


def table_of(name: str, kind: str | None) -> Table:
    """Return a table of a kind, for the key of this name."""
    sizes = dict(SIZES) if name == "samplers" else {}
    if f"{_called(name, kind)}.buffer_size" in ONE_VALUE:
        sizes.pop("buffer_size", None)
    return {"kind": kind, **deepcopy(TABLES.get(_called(name, kind), {})), **sizes} if kind else {}


def in_place(name: str, table: Table) -> Table | list[Table]:
    return [table] if name in LISTS else table


def changes_of(key: Key) -> Iterator[tuple[Table, Table]]:
    """Yield configurations that differ in the value of a key, those first that are likelier to be allowed."""
    # Of a table without a class for each kind, it is a key as any other.
    if key.name == "kind" and _slot(key.tables[-1][0]) in KINDS:
        *outer, (name, kind) = key.tables
        for other in KINDS[_slot(name)]:
            if other != kind:
                yield configuration(key, {}), configuration(replace(key, tables=(*outer, (name, other))), {})
        return
    before = BEFORE.get(key.within, {}) | OF_GATES.get(key.name, {})
    found = configuration(key, before)
    for step, _ in key.tables:
        found = found[step][0] if step in LISTS else found[step]
    old = found.get(key.name, key.schema.get("default"))
    for value in other_values(key, old):
        if value != old:
            yield configuration(key, before), configuration(key, {**before, key.name: value})


def other_values(key: Key, old: Any) -> Iterator[Any]:
    """Yield values that may be allowed instead of an old one."""
    if key.within in VALUES:
        yield VALUES[key.within]
    if key.name == "after":
        yield "other > 0.25"
    # The first kind may be what the absence of the table means.
    for kind, _ in reversed(list(_kinds(key.schema))):
        yield in_place(key.name, table_of(key.name, kind))
    for option in (key.schema, *key.schema.get("anyOf", ())):
        yield from option.get("enum", ())
        match option.get("type"):
            case "boolean":
                yield not old
            case "integer":
                yield from (3, 1) if old is None else (old + 1, old - 1)
            case "number":
                yield from (0.5, 1.0) if old is None else (1.5 * old, old / 2, old + 0.25)
            case "array" if "enum" in option.get("items", {}):
                yield old[1:]
            case "string" if key.name in FREE_TEXTS:
                yield "another"


def settings_of(table: Table, named: Mapping[str, str]) -> Settings:
    return Settings.from_json(Template(json.dumps(table)).substitute(named))


def changed(key: Key, named: Mapping[str, str]) -> tuple[Settings, Settings]:
    """Return valid settings that differ in a key."""
    problems = []
    for before, after in changes_of(key):
        try:
            old, new = settings_of(before, named), settings_of(after, named)
        except ConfigurationError as error:
            problems.append(error)
        else:
            assert old != new
            return old, new
    pytest.fail(f"no other value of {key} is known: add it to VALUES, and what it needs to BEFORE; tried: {problems}")


def places(key: Key) -> tuple[str, ...]:
    """Return the objects in which a key must show."""
    found = next((WHERE[each] for each in key.beginnings if each in WHERE), None)
    assert found, f"add to WHERE the objects that {key} changes, or to ELSEWHERE why it changes none"
    return found


def shows(assembled: Assembled, old: Settings, new: Settings, place: str, name: str = "") -> bool:
    """Return whether the objects at a place differ between two settings, or their parts of a name if they have any."""
    part = place.partition(".")[0]
    before, after = assembled(old, part), assembled(new, part)
    paths = {path for path in before.keys() | after.keys() if f"{path}.".startswith(f"{place}.")}
    assert paths, f"there is no {place}"
    # Two arguments of a constructor may have been mixed up.
    paths = {path for path in paths if name in path.removeprefix(place).split(".")[1:]} or paths
    return any(before.get(path) != after.get(path) for path in paths)


@pytest.mark.parametrize("key", KEYS.values(), ids=str)
def test_a_key_shows_in_what_a_run_is_made_of(key: Key, named: Mapping[str, str], assembled: Assembled) -> None:
    for _, kind in key.tables:
        if kind in PACKAGES and find_spec(PACKAGES[kind]) is None:
            pytest.skip(f"pip install 'molbuffer[{EXTRAS[kind]}]'")
    if key.within in ONE_VALUE:
        with pytest.raises(ConfigurationError, match=key.name):
            settings_of(configuration(key, {key.name: ONE_VALUE[key.within]}), named)
        return
    old, new = changed(key, named)
    if key.within in REFUSED:
        with pytest.raises(REFUSED[key.within]):
            assembled(new, "online")
    elif str(key) in ELSEWHERE or key.within in ELSEWHERE:
        assert not any(shows(assembled, old, new, part) for part in PARTS)
    else:
        assert [place for place in places(key) if not shows(assembled, old, new, place, key.name)] == []


@pytest.mark.parametrize("kind", KINDS["samplers"])
def test_equal_settings_have_one_description(kind: str, named: Mapping[str, str], assembled: Assembled) -> None:
    """Otherwise a key could seem to show where another thing differs."""
    settings = settings_of(configuration(KEYS[f"samplers[{kind}].name"], {}), named)
    for part in PARTS:
        assert assembled(settings, part) == assembled(settings, part, anew=True)


def test_the_tables_of_this_file_name_keys_that_there_are() -> None:
    assert ELSEWHERE.keys() <= KEYS.keys() | {key.within for key in KEYS.values()}
    assert BEFORE.keys() | VALUES.keys() | REFUSED.keys() <= {key.within for key in KEYS.values()}
    assert {key.name for key in KEYS.values()} >= FREE_TEXTS
    first = [next((each for each in key.beginnings if each in WHERE), None) for key in KEYS.values()]
    assert WHERE.keys() <= set(first)
    assert TABLES.keys() <= {_called(*key.tables[-1]) for key in KEYS.values() if key.tables}
