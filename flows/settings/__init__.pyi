from .foreign_kinds import foreign_sources
from .problems import ConfigurationError
from .samplers import SamplerSettings
from .settings import Settings, load_settings, settings_schema
from .training import selection_of

__all__ = [
    "ConfigurationError",
    "SamplerSettings",
    "Settings",
    "foreign_sources",
    "load_settings",
    "selection_of",
    "settings_schema",
]
