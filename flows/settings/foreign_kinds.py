"""The kinds of a configuration that are not molbuffer's own: their sources, and classes of models in files."""

from __future__ import annotations

from collections.abc import Iterator

from molbuffer.flows.settings.settings import Settings
from molbuffer.kinds import KindTable, PythonObject, Section


def foreign_sources(settings: Settings) -> dict[str, str]:
    """Return the hash of the source of each kind that is not molbuffer's own, by the names of its family and itself.

    A class in a file is named as "samplers my_module:MySampler", a kind of an installed package with the package and
    its version, as "samplers shuffled of my-package 1.0".
    """
    found = dict(_sources(settings))
    for number in range(len(settings.stages)):
        found |= dict(_sources(settings.of_stage(number)))
    return {name: found[name] for name in sorted(found)}


def _sources(section: object) -> Iterator[tuple[str, str]]:
    if isinstance(section, KindTable) and section.foreign_sha256 is not None:
        yield section.foreign_name, section.foreign_sha256
    if isinstance(section, Section):
        for name in type(section).model_fields:
            # A logger only shows what there is.
            if isinstance(section, Settings) and name == "logging":
                continue
            yield from _sources(getattr(section, name))
        if isinstance(section, PythonObject):
            # The keys of the class may hold tables of kinds, such as a sampler inside it.
            yield from _sources(section.of_class)
    elif isinstance(section, tuple | list):
        for each in section:
            yield from _sources(each)
