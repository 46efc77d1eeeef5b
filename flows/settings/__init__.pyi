from .actors import ASYNC, ActorsSettings
from .foreign_kinds import foreign_sources
from .loggers import LoggingSettings
from .marked_keys import marked, tables
from .overrides import OFFLINE, Override, parse_overrides
from .presets import configuration_file, preset_names, preset_text
from .problems import ConfigurationError, Problem, did_you_mean, locate, shown, toml_problem
from .references import OWN_POLICIES, bundled_names, missing_devices
from .resuming import MAY_CHANGE, changes
from .runner import RunnerSettings
from .samplers import SamplerSettings
from .settings import Settings, load_settings, named_settings, settings_schema, warnings_of
from .toml_lines import KeyPath
from .training import selection_of

__all__ = [
    "ASYNC",
    "MAY_CHANGE",
    "OFFLINE",
    "OWN_POLICIES",
    "ActorsSettings",
    "ConfigurationError",
    "KeyPath",
    "LoggingSettings",
    "Override",
    "Problem",
    "RunnerSettings",
    "SamplerSettings",
    "Settings",
    "bundled_names",
    "changes",
    "configuration_file",
    "did_you_mean",
    "foreign_sources",
    "load_settings",
    "locate",
    "marked",
    "missing_devices",
    "named_settings",
    "parse_overrides",
    "preset_names",
    "preset_text",
    "selection_of",
    "settings_schema",
    "shown",
    "tables",
    "toml_problem",
    "warnings_of",
]
