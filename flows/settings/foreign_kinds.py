"""The kinds of a configuration that are not molbuffer's own, and the hashes of their sources."""

from __future__ import annotations

from collections.abc import Iterator

from molbuffer.flows.settings.settings import Settings
from molbuffer.kinds import KindTable, PythonObject, Section


def foreign_sources(settings: Settings) -> dict[str, str]:
    """Return the sha256 of the source of each kind that is not molbuffer's own, by family and name.

    A class in a file has a name such as "samplers my_module:MySampler", and a kind of an installed package one with the
    package and its version, such as "samplers shuffled of my-package 1.0".
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
            # A logger does not change the rows of a run.
            if isinstance(section, Settings) and name == "logging":
                continue
            yield from _sources(getattr(section, name))
        if isinstance(section, PythonObject):
            # The keys of the class may contain tables of kinds, such as an inner sampler.
            yield from _sources(section.of_class)
    elif isinstance(section, tuple | list):
        for each in section:
            yield from _sources(each)
