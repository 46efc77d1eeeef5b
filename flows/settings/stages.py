"""The ``[[stages]]`` tables: parts of a run that follow one another, each with values of its own for some keys.

The configuration of a stage is the run's configuration with the tables of the stage laid over it; values of earlier
stages do not count. A table changes only the keys that it has; a list, such as ``objective.components`` or ``filters``,
replaces the whole list; a table of another kind, such as another loss, replaces the whole table. Samplers are found by
their names.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from molbuffer.flows.settings.base import Section
from molbuffer.flows.settings.marked_keys import annotations_of, keys_of, model_of
from molbuffer.flows.settings.problems import Problem, shown
from molbuffer.flows.settings.references import with_absolute_paths
from molbuffer.flows.settings.toml_lines import KeyPath
from molbuffer.kinds import Count, FileName, FolderName, MoleculeFile, PolicyName, Share, Text, refuse
from molbuffer.training import StageEndSettings

TABLES = ("objective", "screening", "training", "buffer", "diversity")
"""The tables that a stage may change, besides the lists of samplers and filters."""
SAMPLERS = "samplers"
_FIXED = ("kind", "base_sampler", "optimise", "runs", "learnt_prior", "learnt_latents", "object")
"""The keys of a sampler that must be the same in all stages, since they concern its trained parts, or names and files
that are looked up when the run starts."""
_FIXED_MARKS = (FileName, FolderName, MoleculeFile, PolicyName)

Changes = Mapping[str, Any]
Overrides = Annotated[dict[str, Any], Field(strict=False)]


class StageSettings(Section):
    """A stage of a run: the conditions of its end, and the values that differ in it."""

    name: Text | None = None
    """The name of the stage, for readers."""

    iterations: Count | None = None
    """The stage ends after this number of iterations."""

    mean_reward: Share | None = None
    """The stage ends when the mean reward of the live rows of the last `window` iterations reaches this value."""

    window: Count = StageEndSettings.window
    """The number of iterations whose mean reward is compared with `mean_reward`."""

    oracle_calls: Count | None = None
    """The stage ends after the iteration in which it reaches this number of oracle calls."""

    objective: Overrides = Field(default_factory=dict)
    """The keys of the table [objective] that differ in the stage."""

    screening: Overrides = Field(default_factory=dict)
    """The keys of the table [screening] that differ in the stage; if the run has no such table, the whole table."""

    training: Overrides = Field(default_factory=dict)
    """The keys of the table [training] that differ in the stage."""

    buffer: Overrides = Field(default_factory=dict)
    """The keys of the table [buffer] that differ in the stage."""

    diversity: Overrides = Field(default_factory=dict)
    """The keys of the table [diversity] that differ in the stage; if the run has no such table, the whole table."""

    samplers: Annotated[tuple[Overrides, ...], Field(strict=False)] = ()
    """The samplers that differ in the stage, each with its name and the keys that differ."""

    filters: Annotated[tuple[Overrides, ...] | None, Field(strict=False)] = None
    """The filters of the stage; default: those of the run."""

    @property
    def end(self) -> StageEndSettings:
        """The conditions of the end of the stage."""
        return StageEndSettings(self.iterations, self.mean_reward, self.window, self.oracle_calls)

    @model_validator(mode="after")
    def _samplers_have_names(self) -> Self:
        for i, table in enumerate(self.samplers):
            if not isinstance(table.get("name"), str):
                refuse("stage", [((SAMPLERS, i), "the key `name` of the sampler to change is missing")])
        return self


def with_stage(data: Changes, stage: Changes) -> dict[str, Any]:
    """Return a configuration with the tables of a stage laid over it, and without stages."""
    merged = deepcopy({key: value for key, value in data.items() if key != "stages"})
    for name in TABLES:
        changes, table = stage.get(name) or {}, merged.get(name, {})
        if name == "training" and isinstance(changes, Mapping) and "loss" in changes and isinstance(table, Mapping):
            # The sigma in the run's table belongs to the run's loss, which the stage replaces.
            table = {key: value for key, value in table.items() if key != "sigma"}
        if name == "objective" and isinstance(changes, Mapping) and isinstance(table, Mapping):
            # `named` and `components` replace each other.
            replaced = {"named": "components", "components": "named"}
            table = {key: value for key, value in table.items() if replaced.get(key) not in changes}
        if changes:
            merged[name] = _laid_over(table, changes)
    if stage.get("filters") is not None:
        merged["filters"] = deepcopy(stage["filters"])
    for changes in stage.get(SAMPLERS) or ():
        place = _place(merged.get(SAMPLERS), changes)
        if place is not None:
            merged[SAMPLERS] = [
                _laid_over(table, changes) if i == place else table for i, table in enumerate(merged[SAMPLERS])
            ]
    return merged


def _laid_over(table: Any, changes: Any) -> Any:
    if not isinstance(table, Mapping) or not isinstance(changes, Mapping):
        return deepcopy(changes)
    if "kind" in changes and changes["kind"] != table.get("kind"):
        return deepcopy(dict(changes))
    return {**table, **{key: _laid_over(table.get(key), value) for key, value in changes.items()}}


def _place(samplers: Any, changes: Any) -> int | None:
    """Return the position of the sampler that a table of a stage changes."""
    if not isinstance(samplers, Sequence) or not isinstance(changes, Mapping):
        return None
    named = [i for i, table in enumerate(samplers) if isinstance(table, Mapping) and _is_named(table, changes)]
    return named[0] if named else None


def _is_named(table: Mapping[str, Any], changes: Mapping[str, Any]) -> bool:
    return isinstance(changes.get("name"), str) and table.get("name") == changes["name"]


def stages_of(data: Changes) -> list[tuple[int, Changes]]:
    """Return the tables of stages in a configuration, with their positions; wrong types are reported elsewhere."""
    return [(i, each) for i, each in enumerate(_listed(data.get("stages"))) if isinstance(each, Mapping)]


def _listed(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list | tuple) else ()


def path_in_stage(path: KeyPath, number: int, data: Changes, stage: Changes) -> KeyPath | None:
    """Return the path in the file of a key of a stage's merged configuration; None if the stage does not change it."""
    first, *rest = path or ("",)
    at: KeyPath = ("stages", number)
    if first == SAMPLERS and rest:
        own = [
            i for i, table in enumerate(_listed(stage.get(SAMPLERS))) if _place(data.get(SAMPLERS), table) == rest[0]
        ]
        return (*at, SAMPLERS, own[0], *rest[1:]) if own else None
    return (*at, first, *rest) if stage.get(str(first)) else None


def with_absolute_stages(data: dict[str, Any], folder: Path, model: type[Section]) -> dict[str, Any]:
    """Return a configuration with the relative paths in its stages made absolute, as ``with_absolute_paths`` does."""
    if not (stages := _listed(data.get("stages"))):
        return data
    return {**data, "stages": [_absolute(each, folder, model) for each in stages]}


def _absolute(stage: Any, folder: Path, model: type[Section]) -> Any:
    if not isinstance(stage, Mapping):
        return stage
    # A stage may not change paths of samplers.
    named = {key: value for key, value in stage.items() if key in (*TABLES, "filters")}
    return {**stage, **with_absolute_paths(named, folder, model)}


def broken_stages(data: Changes, model: type[Section]) -> Iterator[Problem]:
    """Yield the problems of the list of stages itself: its samplers, its ends and its length.

    Args:
        data: the configuration.
        model: the class that checks a configuration.
    """
    found = stages_of(data)
    before = 0
    for i, stage in found:
        yield from _wrong_samplers(data, i, stage, model)
        if i + 1 == len(found):
            break
        if not any(stage.get(key) is not None for key in ("iterations", "mean_reward", "oracle_calls")):
            message = "each stage but the last needs an end: give it iterations, mean_reward or oracle_calls"
            yield Problem(("stages", i), message)
        alone = stage.get("mean_reward") is None and stage.get("oracle_calls") is None
        length = stage.get("iterations")
        before += length if alone and isinstance(length, int) else 0
    campaign = data.get("campaign")
    iterations = campaign.get("iterations") if isinstance(campaign, Mapping) else None
    if found and isinstance(iterations, int) and before and before >= iterations:
        yield Problem(
            ("stages",),
            f"the stages before the last one have {before} iterations, and the run has {iterations} "
            "(campaign.iterations), so that the last stage never begins; raise that, or shorten them",
        )


def _wrong_samplers(data: Changes, number: int, stage: Changes, model: type[Section]) -> Iterator[Problem]:
    for i, changes in enumerate(_listed(stage.get(SAMPLERS))):
        place = _place(data.get(SAMPLERS), changes)
        if place is None:
            known = [table.get("name") for table in _listed(data.get(SAMPLERS)) if isinstance(table, Mapping)]
            name = changes.get("name") if isinstance(changes, Mapping) else None
            yield Problem(
                ("stages", number, SAMPLERS, i, "name"),
                f"got {shown(name)}, expected a sampler of the run: {', '.join(map(str, known))}; for a sampler of "
                "this stage only, list it in the run with sample_batch = false and build_buffer = false",
            )
            continue
        for key in _fixed_keys(data[SAMPLERS][place], changes, model):
            yield Problem(
                ("stages", number, SAMPLERS, i, key),
                "this key of a sampler is the same in all stages; list another sampler for this stage only",
            )


def _fixed_keys(table: Changes, changes: Changes, model: type[Section]) -> Iterator[str]:
    table_model = model_of(model.model_fields[SAMPLERS], table)
    fields = {} if table_model is None else keys_of(table, table_model)
    for key, value in changes.items():
        marks = annotations_of(fields[key]) if key in fields else ()
        fixed = key in _FIXED or any(isinstance(mark, _FIXED_MARKS) for mark in marks)
        if fixed and value != table.get(key):
            yield key
