"""The component that docks molecules into a receptor with AutoDock Vina."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Annotated, ClassVar, Literal, get_args

from annotated_types import Ge, Gt

from molbuffer.kinds import Count, FileName, NotNegative, Text, Typed, checked
from molbuffer.scoring.components.base import Cost
from molbuffer.scoring.components.docking import dock
from molbuffer.scoring.components.docking.box import Box, box_around, check_overlap, make_box
from molbuffer.scoring.components.docking.dock import DockingPlan
from molbuffer.scoring.components.docking.ligand import Macrocycles, Preparation, Protonation, Tautomer
from molbuffer.scoring.components.docking.receptor import Receptor, read_receptor
from molbuffer.scoring.components.raw_score import RawScore
from molbuffer.scoring.errors import ScoringConfigurationError, check_extra, unknown_name
from molbuffer.scoring.identity import sha256_of
from molbuffer.scoring.workers import Isolation, NoAnswer, Worker, available_cores, run_apart

ScoringFunction = Literal["vina", "vinardo"]
Numbers = Annotated[Sequence[float], Typed(tuple[float, ...])]
PACKAGES = ("vina", "meeko", "rdkit")
"""The packages whose version may change an energy."""


@checked
@dataclass(frozen=True)
class Vina:
    """The energy of a molecule's best pose in a receptor, in kcal/mol, by AutoDock Vina: the lower, the better.

    The component needs a transform, such as a reverse sigmoid from -10 to -6. RDKit embeds molecules and meeko prepares
    them; the same molecule always has the same energy. The pose is stored with the score. A molecule that cannot be
    prepared or docked has a failed score with the reason, and a molecule that ends or blocks its process fails alone.
    Eberhardt et al., J. Chem. Inf. Model. 61:3891 (2021), and Trott and Olson, J. Comput. Chem. 31:455 (2010).

    Attributes:
        receptor: the PDBQT file of a rigid receptor with polar hydrogens, as mk_prepare_receptor.py of meeko writes it.
        ligand: an SDF, MOL, MOL2, PDB or PDBQT file of a molecule in the pocket; the box is made around it.
        margin: the distance from the outermost heavy atoms of the ligand to the walls of the box, in Å.
        center: the centre of the box in Å, instead of a ligand.
        size: the sides of the box in Å, together with a centre.
        scoring: the scoring function: vina, or vinardo of Quiroga and Villarreal (2016).
        exhaustiveness: the number of searches, each from another start; the time rises with it.
        max_evaluations: the largest number of evaluations of a search, which bounds the time of flexible molecules; 0
            leaves it to Vina.
        protonation: the charges that molecules are docked with: as_is, those of the SMILES, or ph7, by rules for common
            acids and bases.
        tautomer: as_is, or canonical: RDKit's canonical tautomer.
        macrocycles: flexible: rings of seven atoms and more may change their conformation; rigid: they keep the
            embedded one.
        conformers: the number of embedded conformers of a molecule. Each is docked, and the best pose counts, since
            Vina rotates bonds and does not change the conformation of smaller rings.
        max_torsions: the largest number of rotatable bonds; the score of a molecule with more is failed.
        seed: the seed of the embedding and of the searches; at least 1.
        timeout: the longest time of a molecule, in seconds; one that takes longer is tried again in the next run.
        parallel: dock as many molecules at once as there are cores.
        cpu: the cores of one docking, which divide its searches; the energy does not depend on it.
        packages: whether stored scores are computed again when Vina, meeko or RDKit has another version.
        name: the component's name in the history, ``vina:`` and the name of the receptor's file by default.

    Example:
        >>> vina = mb.Vina("examples/docking/receptor.pdbqt", "examples/docking/ligand.sdf", exhaustiveness=1)
        >>> (score,) = vina.values(["c1ccccc1"])
        >>> -4 < score.value < -2, "V2000" in score.pose
        (True, True)
    """

    receptor: Annotated[str, Typed(Text), FileName()]
    ligand: Annotated[str | None, Typed(Text | None), FileName()] = None
    margin: Annotated[float, Ge(0)] = 8.0
    center: Numbers = ()
    size: Numbers = ()
    scoring: ScoringFunction = "vina"
    exhaustiveness: Count = 8
    max_evaluations: NotNegative = 0
    protonation: Protonation = "as_is"
    tautomer: Tautomer = "as_is"
    macrocycles: Macrocycles = "flexible"
    conformers: Count = 1
    max_torsions: NotNegative = 32
    seed: Count = 1
    timeout: Annotated[float | None, Typed(Annotated[float, Gt(0)] | None)] = 600.0
    parallel: bool = True
    cpu: Count = 1
    packages: bool = True
    name: str = ""

    kind: ClassVar[str] = "vina"
    cost: ClassVar[Cost] = "high"
    bounded: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_extra("docking with vina", "docking", "vina", "meeko")
        for name, allowed in (
            ("scoring", ScoringFunction),
            ("protonation", Protonation),
            ("tautomer", Tautomer),
            ("macrocycles", Macrocycles),
        ):
            if getattr(self, name) not in get_args(allowed):
                raise unknown_name(name, str(getattr(self, name)), get_args(allowed))
        if self.timeout is not None and not self.timeout > 0:
            raise ScoringConfigurationError(f"timeout must be positive, got {self.timeout}")
        object.__setattr__(self, "center", tuple(self.center))
        object.__setattr__(self, "size", tuple(self.size))
        object.__setattr__(self, "receptor", str(Path(self.receptor).absolute()))
        object.__setattr__(self, "name", self.name or f"{self.kind}:{Path(self.receptor).stem}")
        # Read now and not on first use, when the file may differ.
        check_overlap(self.box, self._receptor.positions)

    @cached_property
    def box(self) -> Box:
        """The box in which molecules are docked.

        Raises:
            ScoringConfigurationError: neither a ligand nor a centre with a size is given, or both are.
        """
        if (self.ligand is None) == (not self.center) or bool(self.center) != bool(self.size):
            raise ScoringConfigurationError(
                "the box needs either a ligand, or center and size; got "
                f"ligand {self.ligand!r}, center {list(self.center)} and size {list(self.size)}"
            )
        if self.ligand is not None:
            return box_around(Path(self.ligand), self.margin)
        return make_box(self.center, self.size)

    @cached_property
    def version(self) -> str:
        return sha256_of(
            {
                "kind": self.kind,
                "receptor": self._receptor.sha256,
                "box": [*self.box.center, *self.box.size],
                "packages": _versions() if self.packages else {},
                **{name: getattr(self, name) for name in (*_SEARCH, *_PREPARATION)},
            }
        )

    def values(self, molecules: Sequence[str]) -> list[RawScore]:
        found = dict(self.stream(dict.fromkeys(molecules)))
        return [found[smiles] for smiles in molecules]

    def stream(self, molecules: Iterable[str]) -> Iterator[tuple[str, RawScore]]:
        """Yield each canonical SMILES with its score as soon as it is computed, in no particular order."""
        for smiles, found in run_apart(dock.dock, molecules, (self._plan,), self._isolation, chunk=1):
            yield smiles, RawScore(None, found.reason, lost=not found.final) if isinstance(found, NoAnswer) else found

    @property
    def _isolation(self) -> Isolation:
        plan = self._plan

        def prepare(worker: Worker) -> None:
            worker.call(dock.prepare, [plan], ())

        processes = max(1, available_cores() // self.cpu) if self.parallel else 1
        return Isolation(f"{self.version} {self.cpu}", processes, timeout=self.timeout, prepare=prepare)

    @property
    def _plan(self) -> DockingPlan:
        preparation = Preparation(**{name: getattr(self, name) for name in _PREPARATION}, seed=self.seed)
        search = {name: getattr(self, name) for name in _SEARCH}
        return DockingPlan(self.version, self._receptor.text, self.box, **search, cpu=self.cpu, preparation=preparation)

    @cached_property
    def _receptor(self) -> Receptor:
        return read_receptor(Path(self.receptor))


_SEARCH = ("scoring", "exhaustiveness", "max_evaluations", "seed")
_PREPARATION = ("protonation", "tautomer", "macrocycles", "conformers", "max_torsions")


@cache
def _versions() -> dict[str, str]:
    return {name: importlib.metadata.version(name) for name in PACKAGES}
