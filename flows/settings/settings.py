"""The configuration of a campaign: the TOML file as checked, immutable settings.

``load_settings`` reads a file, and either returns settings that can be run or raises one error with all problems.
``Settings`` defines all tables and keys: the JSON schema and the error messages are derived from it. A run stores its
settings as canonical JSON, from which equal settings can be read again.
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Self

from annotated_types import Gt
from pydantic import AfterValidator, Field, ValidationError, model_validator

from molbuffer.flows.settings.actors import ActorsSettings, Rates, broken_actors, warnings_of_actors
from molbuffer.flows.settings.base import (
    DEFAULT_BATCH_SIZE,
    DEFAULT_ITERATIONS,
    LARGEST_SEED,
    DeviceName,
    Section,
)
from molbuffer.flows.settings.loggers import LoggingSettings
from molbuffer.flows.settings.objective import ObjectiveSettings
from molbuffer.flows.settings.overrides import Override, told_of, with_overrides
from molbuffer.flows.settings.problems import ConfigurationError, Problem, locate, toml_problem, validation_problems
from molbuffer.flows.settings.references import (
    missing_devices,
    missing_references,
    not_told,
    refused_predicates,
    unusable_files,
    with_absolute_paths,
    with_policies,
)
from molbuffer.flows.settings.rules import broken_rules, warnings_of_rules
from molbuffer.flows.settings.runner import RunnerSettings, warnings_of_runner
from molbuffer.flows.settings.samplers import SamplerSettings
from molbuffer.flows.settings.stages import (
    StageSettings,
    broken_stages,
    path_in_stage,
    stages_of,
    with_absolute_stages,
    with_stage,
)
from molbuffer.flows.settings.suitability import unsuitable_rows
from molbuffer.flows.settings.training import BufferSettings, OfflineSettings, TrainingSettings, selection_of
from molbuffer.kinds import (
    Count,
    FolderName,
    KindError,
    KindTable,
    OneOf,
    PolicyName,
    Table,
    TableOf,
    Text,
    read_source,
    refuse,
    registered_object,
)
from molbuffer.samplers import SAMPLERS
from molbuffer.scoring import FILTERS, ContrastiveTemplate, Screening, Standardisation
from molbuffer.storage import ArchiveTerms, ConsumeOnce
from molbuffer.training import DiversitySettings, GuardSettings, StopSettings


class CampaignSettings(Section):
    """The campaign: its name, seed and size."""

    name: Text = "campaign"
    """The name of the campaign's runs in the history."""

    seed: Annotated[int, Field(ge=0, le=LARGEST_SEED)] = 0
    """The seed of all randomness: the same seed, configuration, code and stored rows give the same training. The draws
    of a build without training follow from the id of its run, too, so that each build draws other molecules."""

    agents: Count = 1
    """The number of trainings that `molbuffer run` starts on the store at once, each in a process, with policies and
    seeds of their own. They share scores, and count each other's molecules in the diversity memory. Limits such as
    `max_oracle_calls` apply to each."""

    iterations: Annotated[int, Field(ge=0)] = DEFAULT_ITERATIONS
    """The number of training steps. `molbuffer build` fills the buffer without training."""

    batch_size: Count = DEFAULT_BATCH_SIZE
    """The number of molecules of a training batch."""

    offline: bool = False
    """Train on stored rows only: no sampler draws, neither for the buffer nor for the batch."""

    device: DeviceName = "cpu"
    """The device that policies draw and learn on: "cpu", "cuda", "cuda:1" for one of several, "mps", or "auto" for the
    fastest one of the machine. Only on the CPU are runs of one seed equal bit by bit."""

    max_failed_share: Annotated[float, Field(ge=0, le=1)] = 0.5
    """The largest share of the molecules of a build, or of an iteration's builds, whose score may have failed; above it
    the run fails. The limit applies from 20 molecules on; fewer end a run only if none of its molecules has a reward.
    0: the first failed score ends the run; 1: no failed score does."""

    keep_checkpoints: Count = 2
    """The number of newest checkpoints of a run that stay while it goes on; a run is resumed from the newest one."""

    keep_policies: Count = 3
    """The number of newest policies of a run whose weights stay while it goes on. The best policy, by the rewards of
    its draws, stays as well, and so does each policy that an archive, another run or a sampler refers to."""

    max_oracle_calls: Count | None = None
    """The budget of oracle calls: the largest number of different molecules that a run asks its objective for, cached
    or not; the run ends with the last of them."""

    max_minutes: Annotated[float, Gt(0)] | None = None
    """The largest number of minutes that a run trains for, summed over all parts of a resumed run."""

    patience: Count | None = None
    """The run ends after this many iterations in which the mean reward of its best molecules has not risen."""

    patience_top: Count = StopSettings.patience_top
    """The number of best molecules whose mean reward counts for `patience`."""

    authors: Annotated[tuple[Text, ...], Field(strict=False)] = ()
    """The authors of the campaign's data, as "NAME" or "NAME <https://orcid.org/...>"; archives state them."""

    license: Text | None = None
    """The licence of the campaign's data, such as "CC-BY-4.0"; archives state it."""

    @model_validator(mode="after")
    def _terms_can_be_stated(self) -> Self:
        try:
            _ = self.terms
        except ValueError as error:
            refuse("campaign", [(("authors",), str(error))])
        return self

    @property
    def terms(self) -> ArchiveTerms:
        """The licence and authors of the campaign."""
        return ArchiveTerms(self.license, self.authors)

    @property
    def stops(self) -> StopSettings:
        """The conditions that end a run before its last iteration."""
        return StopSettings(self.max_oracle_calls, self.max_minutes, self.patience, self.patience_top)


class PolicySettings(Section):
    """The policy that is trained."""

    prior: Annotated[Text, PolicyName()] = "zinc-gru"
    """The policy that the loss keeps the trained one close to: a bundled policy, a folder (relative to the folder of
    the configuration file), a sha256 in the store, or "run:RUN_ID", the last policy of a run in the store."""

    agent: Annotated[Text, PolicyName()] | None = None
    """The policy that training starts from, named like the prior; default: the prior. It must have the prior's
    vocabulary. With "run:RUN_ID", training starts from the last policy of that run, under the settings of this file."""

    models: Annotated[tuple[Text, ...], Field(strict=False)] = ()
    """Your own classes of models that policies may have, each as "module:class"; their modules are in `folder`."""

    folder: Annotated[Text, FolderName()] = "."
    """The folder of the modules of `models`; default: that of the configuration file."""

    @model_validator(mode="after")
    def _models_exist(self) -> Self:
        for i, name in enumerate(self.models):
            try:
                read_source(name.partition(":")[0], self.folder)
                # The import is here since it loads torch, which only a configuration with models of the user needs.
                from molbuffer.samplers.models import MODELS

                registered_object(MODELS, name, self.folder)
            except KindError as error:
                refuse("policy", [(("models", i), str(error))])
        return self


FILTER = OneOf(FILTERS)
STANDARDISATION, CONTRASTIVE = TableOf(Standardisation), TableOf(ContrastiveTemplate)
SCREENING = TableOf(Screening)
DIVERSITY, GUARD = TableOf(DiversitySettings), TableOf(GuardSettings)


def _with_default_filters(listed: tuple[KindTable, ...]) -> tuple[KindTable, ...]:
    """Return the listed filters, with the default filter ``valence`` first unless it is listed."""
    return listed if any(each.kind == "valence" for each in listed) else (FILTER.default("valence")(), *listed)


class Settings(Section):
    """A configuration of molbuffer."""

    campaign: CampaignSettings = Field(default_factory=CampaignSettings)
    """The campaign: its name, seed and size."""

    policy: PolicySettings = Field(default_factory=PolicySettings)
    """The policy that is trained."""

    objective: ObjectiveSettings
    """The objective: the components of the reward."""

    standardisation: Annotated[Table, STANDARDISATION] = Field(default_factory=lambda: STANDARDISATION.table())
    """The standardisation of drawn strings to molecules."""

    filters: Annotated[
        tuple[Annotated[KindTable, FILTER], ...],
        AfterValidator(_with_default_filters),
        Field(strict=False, validate_default=True),
    ] = ()
    """The filters, in the order in which they are applied. Rejected molecules are stored with the filter's name, but
    not scored. A filter of kind `valence` comes first unless one is listed; `reject = []` switches it off."""

    contrastive: Annotated[Table, CONTRASTIVE] | None = None
    """Which pairs are kept, and their rewards for a conditional policy. Without the table every pair whose target
    passes the filters is kept, with the reward of its target."""

    diversity: Annotated[Table, DIVERSITY] | None = None
    """The diversity memory: the reward that the learner gets falls for molecules of a bucket that has many already.
    Without the table every reward counts in full."""

    screening: Annotated[Table, SCREENING] | None = None
    """Screening before expensive scores: more molecules are drawn than are scored, and a surrogate model of the known
    scores chooses which are. The others are stored as rejected by `screening`, with the prediction of the model.
    Without the table all molecules that pass the filters are scored."""

    buffer: BufferSettings = Field(default_factory=BufferSettings)
    """The stored rows that fill the rest of a batch, and the builds that add more."""

    samplers: Annotated[
        tuple[Annotated[SamplerSettings, OneOf(SAMPLERS, SamplerSettings)], ...], Field(strict=False)
    ] = ()
    """The samplers that draw molecules."""

    training: TrainingSettings = Field(default_factory=TrainingSettings)
    """The training of the policy."""

    actors: ActorsSettings | None = None
    """The actors of a training with `mode = "async"`; without the table they have its defaults."""

    offline: OfflineSettings = Field(default_factory=OfflineSettings)
    """Training on stored rows alone."""

    guard: Annotated[Table, GUARD] | None = None
    """The guard against collapse; without the table there is none."""

    logging: LoggingSettings = Field(default_factory=LoggingSettings)
    """The loggers that show metrics and the best molecules outside the store while a run goes on."""

    runner: RunnerSettings = Field(default_factory=RunnerSettings)
    """The workers that make parts of a build at the same time."""

    stages: Annotated[tuple[StageSettings, ...], Field(strict=False)] = ()
    """The stages of an online run: parts that follow one another, with values of their own for some keys."""

    @model_validator(mode="after")
    def _keeps_the_rules(self) -> Self:
        data = self.model_dump(mode="json")
        problems = broken_rules(data)
        problems += unsuitable_rows(self)
        problems += broken_actors(self)
        problems += [*broken_stages(data, Settings), *_problems_of_stages(data)]
        refuse("configuration", [(problem.path, problem.message) for problem in problems])
        return self

    @property
    def rates(self) -> Rates:
        """The numbers of rows that actors add and the learner takes."""
        return Rates(self)

    def of_stage(self, number: int) -> Settings:
        """Return the configuration of a run in a stage, as a whole and without stages."""
        data = self.model_dump(mode="json")
        return Settings.from_json(json.dumps(with_stage(data, data["stages"][number])))

    def to_json(self) -> str:
        """Return the settings with all defaults as canonical JSON: equal settings give equal texts."""
        return json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"), ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Settings:
        """Return the settings that ``to_json`` wrote.

        Raises:
            ConfigurationError: the text is not JSON, or not valid as settings of this release.
        """
        source = "the stored configuration"
        try:
            data = json.loads(text)
        except json.JSONDecodeError as error:
            raise ConfigurationError(source, [Problem((), f"this is not JSON: {error}")]) from error
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            raise ConfigurationError(source, validation_problems(error, data, cls, settings_schema())) from None

    def with_stored_policies(self, stored: Callable[[str], str]) -> Settings:
        """Return the settings with the sha256 of policies in place of their folders.

        Args:
            stored: a function of a folder's path to the sha256 under which the store keeps its policy.
        """
        data = with_policies(self.model_dump(mode="json"), Settings, stored)
        return Settings.from_json(json.dumps(data))

    @property
    def sha256(self) -> str:
        """The hash of the canonical JSON."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()


def load_settings(path: Path, overrides: Sequence[Override] = (), *, check_device: bool = True) -> Settings:
    """Read and check a TOML file. Relative paths in it start at its folder, and are made absolute.

    Args:
        path: the file.
        overrides: values of keys that replace those in the file.
        check_device: refuse a device that this machine lacks; False if the caller uses another device.

    Raises:
        ConfigurationError: the file has problems; the message lists all of them.
    """
    try:
        text = path.read_text(encoding="utf-8")
        data = tomllib.loads(text)
    except OSError as error:
        raise ConfigurationError(str(path), [Problem((), f"cannot be read: {error.strerror}")]) from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(str(path), [Problem((), f"is not UTF-8 text: {error}")]) from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(str(path), [toml_problem(error)]) from error
    if not data and not overrides:
        advice = "`molbuffer config example` prints a configuration to start from"
        raise ConfigurationError(str(path), [Problem((), f"the file has no keys; {advice}")])
    data, paths, problems = with_overrides(data, overrides)
    if problems:
        raise ConfigurationError(str(path), problems)
    try:
        absolute = with_absolute_stages(with_absolute_paths(data, path.parent, Settings), path.parent, Settings)
        return _validate(absolute, str(path), text, check_device=check_device)
    except ConfigurationError as error:
        raise ConfigurationError(str(path), told_of(error.problems, paths)) from None


def named_settings(objective: str) -> Settings:
    """Return settings that score molecules, as they are written, under a named objective.

    Raises:
        ConfigurationError: no objective has the name.
    """
    data = {
        "campaign": {"offline": True},
        "objective": {"named": objective},
        "standardisation": {"cleanup": False},
    }
    return _validate(data, "--objective", "", check_device=False)


def _problems_of_references(data: Mapping[str, Any]) -> list[Problem]:
    found = [*missing_references(data, Settings), *unusable_files(data, Settings)]
    return [*found, *refused_predicates(data, Settings)]


def warnings_of(settings: Settings) -> list[str]:
    """Return warnings about settings that are valid, but probably a mistake."""
    if settings.stages and settings.campaign.offline:
        return [
            "stages are parts of an online run, and an offline training ignores them: to train offline in several "
            'parts, start each run from the one before with policy.agent = "run:RUN_ID"'
        ]
    if settings.stages:
        of_stages = [warnings_of(settings.of_stage(i)) for i in range(len(settings.stages))]
        return [f"stage {i}: {text}" for i, texts in enumerate(of_stages) for text in texts]
    selection = selection_of(settings.buffer.selection)
    deliveries = selection.epochs if isinstance(selection, ConsumeOnce) else None
    data = settings.model_dump(mode="json")
    return [*warnings_of_rules(data, deliveries), *warnings_of_actors(settings), *warnings_of_runner(data)]


def _problems_of_stages(data: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield the problems of the configurations that result from the stages."""
    for i, stage in stages_of(data):
        merged = with_stage(data, stage)
        try:
            Settings.model_validate(merged)
        except ValidationError as error:
            for problem in validation_problems(error, merged, Settings, settings_schema()):
                path = path_in_stage(problem.path, i, data, stage)
                # A rule on several keys may report its problem at a key that the stage does not change.
                told = problem.message if path else f"in this stage, key `{problem.key}`: {problem.message}"
                yield Problem(path or ("stages", i), told)


@cache
def settings_schema() -> Mapping[str, Any]:
    """Return the JSON schema of a configuration."""
    return Settings.model_json_schema()


def _validate(data: Mapping[str, Any], source: str, text: str, *, check_device: bool) -> Settings:
    """Return settings from the tables of a file, or raise one error with every problem and its line."""
    problems = _problems_of_references(data)
    for i, stage in stages_of(data):
        found = _problems_of_references(with_stage(data, stage))
        paths = [path_in_stage(problem.path, i, data, stage) for problem in found]
        problems += [replace(problem, path=path) for problem, path in zip(found, paths, strict=True) if path]
    problems += missing_devices(data) if check_device else ()
    try:
        settings = Settings.model_validate(data)
    except ValidationError as error:
        wrong = validation_problems(error, data, Settings, settings_schema())
        problems += [*not_told(wrong, problems, data), *broken_rules(data)]
    else:
        problems += settings.logging.problems(("logging",))
        problems += settings.runner.problems(("runner",))
        if not problems:
            return settings
    raise ConfigurationError(source, locate(problems, text))
