"""Families of kinds: samplers, models, losses, selections, components, filters, transforms, surrogates and so on.

The kinds of a family are the entry points of one group, such as ``molbuffer.samplers``. The kinds of molbuffer are
entry points of its own package; any other package registers its kinds in the same way, which is the only way:

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
"""A folder that has no modules, so that a search which starts there finds installed modules only."""

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
        """The sha256 of the source of the module that defines the class, as of the first access to this property.

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
            BrokenKindError: the class cannot be imported, or does not belong to the family.
        """
        found, problem = self._loaded
        if problem is not None:
            raise BrokenKindError(
                f"the kind {self.name!r} of {self.family}, from {self.source}, cannot be used: {problem}"
            )
        return found

    @cached_property
    def _loaded(self) -> tuple[Any, str | None]:
        # Any error in the import of a foreign module leaves the other kinds usable; a script may raise SystemExit.
        try:
            return self._adapt(self._load()), None
        except (Exception, SystemExit) as error:
            return None, f"{type(error).__name__}: {error}"


class Family:
    """The kinds of one family, by name.

    Attributes:
        name: the name of the family, such as "samplers".
        adapt: takes the object that an entry point names and returns the class as the family uses it.
    """

    def __init__(self, name: str, adapt: Adapt) -> None:
        """Make a family.

        Args:
            name: the name of the family.
            adapt: returns the class that the family uses for the object of an entry point; it raises a TypeError,
                which says what was expected, for an object that does not belong to the family.
        """
        self.name, self.adapt = name, adapt
        self._added: dict[str, Kind] = {}

    def __repr__(self) -> str:
        return f"Family({self.name!r})"

    @property
    def kinds(self) -> Mapping[str, Kind]:
        """The kinds by name, molbuffer's own first.

        Where several packages register one name, molbuffer's own kind counts, or else the first that can be used.
        """
        found: dict[str, Kind] = {}
        for kind in self.registered:
            known = found.get(kind.name)
            # Whether a kind can be used requires its import; only names that two packages register need the answer.
            if known is None or (not known.is_own and known.problem is not None and kind.problem is None):
                found[kind.name] = kind
        return found

    @property
    def registered(self) -> tuple[Kind, ...]:
        """All registered kinds, including several with the same name."""
        return (*_registered(self), *self._added.values())

    @property
    def added(self) -> tuple[Kind, ...]:
        """The kinds that ``add`` has added in this process, which no package registers."""
        return tuple(self._added.values())

    def add(self, name: str, package: str, value: str, registered: Any) -> None:
        """Add a class from a file as a kind, for this process only.

        Args:
            name: the name of the kind.
            package: the file, which stands for the package of the kind.
            value: the class, as "module:class".
            registered: the class itself.

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
    """Return the names of the packages other than molbuffer that register kinds, without importing them."""
    return tuple(sorted({package for package, _, _ in _entry_points()} - {OWN}))


@dataclass(frozen=True)
class StrayEntry:
    """An entry point of a group ``molbuffer.<name>`` for which there is no family.

    Attributes:
        family: the part of the group's name after ``molbuffer.``.
        name: the name of the entry point.
        source: the package and its version, for people.
        value: the entry point, as ``module:class``.
    """

    family: str
    name: str
    source: str
    value: str


def stray_entries(families: Iterable[Family]) -> list[StrayEntry]:
    """Return the entry points that packages register for families that do not exist, without importing them."""
    known = {family.name for family in families}
    found = [
        StrayEntry(entry.group.removeprefix(f"{OWN}."), entry.name, f"{package} {version}".rstrip(), entry.value)
        for package, version, entry in _entry_points()
    ]
    return sorted((each for each in found if each.family not in known), key=lambda each: (each.family, each.name))


def class_with(*names: str) -> Adapt:
    """Return an ``adapt`` function for ``Family`` that accepts dataclasses with certain methods and attributes.

    Args:
        names: the methods and attributes that the class or one of its base classes must define.
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

    A package may be found twice: as an installation, and as the metadata that a build has left in a checkout, which
    may be older. The entry points of both count.
    """
    found: dict[tuple[str, str, str], tuple[str, str, EntryPoint]] = {}
    for each in distributions():
        entries = [entry for entry in each.entry_points if entry.group.startswith(f"{OWN}.")]
        if entries:
            # Read once for all entries: each access to the name or the version parses all metadata of the package.
            name, version = each.name, each.version
            for entry in entries:
                found.setdefault((name, entry.group, entry.name), (name, version, entry))
    return tuple(found.values())
