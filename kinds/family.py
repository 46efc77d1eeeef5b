"""Families of kinds: samplers, models, losses, selections, components, filters, transforms, surrogates and so on.

The kinds of a family are the entry points of one group, ``molbuffer.samplers`` and so on. Those of molbuffer are entry
points of its own package, so that a package of somebody else registers its kinds in the same way, and in no other:

    [project.entry-points."molbuffer.samplers"]
    shuffled = "my_package.samplers:Shuffled"
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, is_dataclass
from functools import cache, cached_property
from importlib.metadata import EntryPoint, distributions
from typing import Any

from molbuffer.kinds.errors import BrokenKindError, KindError, UnknownKindError
from molbuffer.kinds.python_source import read_source

OWN = "molbuffer"
"""The name of the package whose kinds come first."""

INSTALLED = "/"
"""A folder without modules: a module that is looked for there is one that is installed."""

Adapt = Callable[[Any], Any]


@dataclass(frozen=True, eq=False)
class Kind:
    """A kind of a family.

    Attributes:
        name: the name in a configuration.
        family: the name of its family.
        package: the name of the package that registers it.
        version: the version of the package.
        value: the entry point, as ``module:class``.
    """

    name: str
    family: str
    package: str
    version: str
    value: str
    _load: Callable[[], Any]
    _adapt: Adapt

    @property
    def is_own(self) -> bool:
        """Whether it is one of molbuffer's kinds."""
        return self.package == OWN

    @property
    def source(self) -> str:
        """The package and its version, for people."""
        return f"{self.package} {self.version}".rstrip()

    @cached_property
    def source_sha256(self) -> str:
        """The hash of the module that has the class, as it was when this was first asked.

        Raises:
            SourceError: the module has no Python source.
        """
        return read_source(self.value.partition(":")[0], INSTALLED).sha256

    @cached_property
    def problem(self) -> str | None:
        """The reason why the kind cannot be used; None if it can."""
        return self._loaded[1]

    @property
    def registered(self) -> Any:
        """The class.

        Raises:
            BrokenKindError: it cannot be imported, or is none of its family.
        """
        found, problem = self._loaded
        if problem is not None:
            raise BrokenKindError(
                f"the kind {self.name!r} of {self.family}, from {self.source}, cannot be used: {problem}"
            )
        return found

    @cached_property
    def _loaded(self) -> tuple[Any, str | None]:
        # Whatever the import of a stranger's module raises, the other kinds stay usable; a script may end itself.
        try:
            return self._adapt(self._load()), None
        except (Exception, SystemExit) as error:
            return None, f"{type(error).__name__}: {error}"


class Family:
    """The kinds of one family, by name.

    Attributes:
        name: the name of the family, such as "samplers".
        adapt: takes what an entry point names and returns the class as the family uses it.
    """

    def __init__(self, name: str, adapt: Adapt) -> None:
        """Make a family.

        Args:
            name: the name of the family.
            adapt: refuses, with a TypeError that says what was expected, what is none of the family.
        """
        self.name, self.adapt = name, adapt
        self._added: dict[str, Kind] = {}

    def __repr__(self) -> str:
        return f"Family({self.name!r})"

    @property
    def kinds(self) -> Mapping[str, Kind]:
        """The kinds by name, those of molbuffer first; of two with one name, the first that can be used counts."""
        found: dict[str, Kind] = {}
        for kind in self.registered:
            known = found.get(kind.name)
            # Only of names that two packages have registered is it asked whether the first can be used.
            if known is None or (not known.is_own and known.problem is not None and kind.problem is None):
                found[kind.name] = kind
        return found

    @property
    def registered(self) -> tuple[Kind, ...]:
        """All kinds that are registered, also those whose name another one has."""
        return (*_registered(self), *self._added.values())

    @property
    def added(self) -> tuple[Kind, ...]:
        """The kinds of this process, which no package registers."""
        return tuple(self._added.values())

    def add(self, name: str, package: str, value: str, registered: Any) -> None:
        """Add a kind for this process: a class in a file.

        Raises:
            KindError: another kind has the name.
        """
        known = self.kinds.get(name)
        if known is not None and (known not in self.added or known.registered is not registered):
            raise KindError(f"the kind {name!r} of {self.name} is taken by that of {known.source}; change the name")
        self._added.setdefault(
            name,
            Kind(
                name=name,
                family=self.name,
                package=package,
                version="",
                value=value,
                _load=lambda: registered,
                _adapt=lambda each: each,
            ),
        )

    def usable(self) -> dict[str, Any]:
        """Return the classes of the kinds that can be used, by name; this imports all of them."""
        return {name: kind.registered for name, kind in self.kinds.items() if kind.problem is None}

    def __getitem__(self, name: str) -> Any:
        """Return the class of a kind.

        Raises:
            UnknownKindError: no kind has the name.
            BrokenKindError: its class cannot be used.
        """
        if name not in self.kinds:
            known = ", ".join(sorted(self.kinds))
            raise UnknownKindError(f"unknown kind {name!r} of {self.name}, expected one of: {known}")
        return self.kinds[name].registered

    def __contains__(self, name: object) -> bool:
        return name in self.kinds

    def __iter__(self) -> Iterator[str]:
        return iter(self.kinds)


def other_packages() -> tuple[str, ...]:
    """Return the names of the packages that register kinds beside molbuffer; none of them is imported."""
    return tuple(sorted({package for package, _, _ in _entry_points()} - {OWN}))


@dataclass(frozen=True)
class StrayEntry:
    """An entry point of a group that looks like that of a family, and is of none.

    Attributes:
        family: the rest of the group's name after ``molbuffer.``.
        name: the name of the entry point.
        source: the package and its version, for people.
        value: the entry point, as ``module:class``.
    """

    family: str
    name: str
    source: str
    value: str


def stray_entries(families: Iterable[Family]) -> list[StrayEntry]:
    """Return what packages register for families that there are not; none of it is imported."""
    known = {family.name for family in families}
    found = [
        StrayEntry(entry.group.removeprefix(f"{OWN}."), entry.name, f"{package} {version}".rstrip(), entry.value)
        for package, version, entry in _entry_points()
    ]
    return sorted((each for each in found if each.family not in known), key=lambda each: (each.family, each.name))


def class_with(*names: str) -> Adapt:
    """Return an ``adapt`` that takes dataclasses with some methods and attributes.

    Args:
        names: the names that the class, or a base class of it, must define.
    """

    def adapt(found: Any) -> Any:
        if not isinstance(found, type):
            raise TypeError(f"expected a class, got {found!r}")
        defined = {
            name for each in found.__mro__[:-1] for name in (*vars(each), *vars(each).get("__annotations__", ()))
        }
        if missing := [name for name in names if name not in defined]:
            raise TypeError(f"expected a class that defines {', '.join(names)}; {found.__name__} lacks {missing[0]}")
        if not is_dataclass(found):
            raise TypeError(f"{found.__name__} is no dataclass: the keys of a kind are the fields of one")
        return found

    return adapt


@cache
def _registered(family: Family) -> tuple[Kind, ...]:
    kinds = [
        Kind(
            name=entry.name,
            family=family.name,
            package=package,
            version=version,
            value=entry.value,
            _load=entry.load,
            _adapt=family.adapt,
        )
        for package, version, entry in _entry_points()
        if entry.group == f"{OWN}.{family.name}"
    ]
    return tuple(sorted(kinds, key=lambda kind: (not kind.is_own, kind.package, kind.name)))


@cache
def _entry_points() -> tuple[tuple[str, str, EntryPoint], ...]:
    """Return the entry points of all families, each with its package and version.

    A package may be found twice, as an installation and as the metadata that a build has left in a checkout, which may
    be older: the entry points of both count.
    """
    found: dict[tuple[str, str, str], tuple[str, str, EntryPoint]] = {}
    for each in distributions():
        entries = [entry for entry in each.entry_points if entry.group.startswith(f"{OWN}.")]
        if entries:
            # Once for all of them: a look at a name or a version parses all metadata of the package.
            name, version = each.name, each.version
            for entry in entries:
                found.setdefault((name, entry.group, entry.name), (name, version, entry))
    return tuple(found.values())
