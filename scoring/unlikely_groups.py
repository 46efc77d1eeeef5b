"""The filter ``unlikely_groups``: it refuses groups that raise a score and that hardly any chemist would make.

A generator that learns from rewards finds such groups: they are easy ways to a formula, a ring count or a
lipophilicity, and no structural alert covers them. Each group has a name, so that a campaign can allow it. Groups of
known drugs pass, such as azides, trioxanes, nitrates, phosphoramides and disulfides.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Annotated

from rdkit import Chem
from rdkit.Chem import rdMolDescriptors

from molbuffer.kinds import Checked, Key, Text, Typed, checked
from molbuffer.scoring.errors import ScoringConfigurationError, unknown_name

HALOGEN = "[F,Cl,Br,I]"
ALONE = "[#7X3,#8X2;!a]"
"""A nitrogen or oxygen with single bonds only."""
KETAL = "$([OX2;R][OX2;R][CX4;R][OX2;R])"
"""An oxygen of a peroxide whose other end is a ketal in the same ring system, as in artemisinin."""

UNLIKELY_GROUPS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "phosphines": ("[#15X3;!$(P=*)]", "[#15;!H0]", "[#15X2,#15X1]", "p"),
        "phosphorus_bonds": ("[#15]~[#15]", "[#15]=[#6,#7]", f"[#15]{HALOGEN}", "[#15]~[#16X2;H1,$([#16][#16])]"),
        "nitrogen_halogen": (f"[#7]{HALOGEN}",),
        "oxygen_halogen": (f"[#8]~{HALOGEN}", "[Cl,Br,I;X2,X3,X4]"),
        "sulfur_halogen": (f"[#16]{HALOGEN}",),
        "peroxides": ("[OX2;!R][OX2]", "[OX1-][OX2]", f"[OX2;R;!{KETAL}]@[OX2;R;!{KETAL}]"),
        "chains_of_heteroatoms": (f"{ALONE}-{ALONE}-{ALONE}", "[#16X2;!a]-[#16X2;!a]-[#16X2;!a]"),
        "sulfenic": ("[#16X2;!a]-[#8]", "[#16]=[#16]", "[#16X3,#16X4;!H0]", "[#16X3,#16X4]=[#6]"),
        "thiocarbonyls": ("[#6][CX3;H1,$(C([#6])[#6])]=[SX1]",),
        "cumulenes": ("[#6]=[#6]=[#6,#8,#16]", "[#7]=[#6]=[#7,#8]"),
        "imines": ("[#6][CX3;H1,$(C([#6])[#6])]=[NX2;H1]", "[CX3;H2]=[NX2]"),
        "nitroso": ("[#6][NX2]=[OX1]",),
        "diazo": ("[#6]=[N+]=[N-]", "[N+]#N", "[#6X4][NX2]=[NX2;+0]", "[NX2]=[NX2;H1]"),
        "acyl_halides": (f"[#6X3](=[O,S]){HALOGEN}",),
        "alpha_halo_amines": ("[NX3;!$(N[C,S]=[O,S])][CX4;!R][Cl,Br,I]",),
        "hetero_alkynes": ("[CX2]#[CX2]-[OX2,NX3,F,Cl]", "[#6-]#[#7+]"),
        "carbon_ions": ("[#6-;!$([#6-]~[#7+])]", "[#6+]", "[#8+]"),
        "strained_rings": (
            "[#6,#7;r3]=[#6,#7;r3]",
            "[!#6;r3]~[!#6;r3]",
            "[!#6;r4]~[!#6;r4]",
            "*1=**=*1",
            "[#6;r3,r4,r5,r6,r7,r8,r9]#[#6;R]",
            "*1~2~*~*~1~*~2",
            "*1~2~*~*~1~*~*~2",
        ),
        "bridgehead_alkenes": (),
    }
)
"""The SMARTS patterns of each group. ``bridgehead_alkenes`` has none, since it is found by the sizes of rings."""

_bridgeheads: Callable[..., int] = rdMolDescriptors.CalcNumBridgeheadAtoms
LARGEST_STRAINED = 7
"""The largest ring in which a double bond at a bridgehead is strained (Bredt's rule)."""


def _check_group(name: str) -> None:
    if name not in UNLIKELY_GROUPS:
        raise unknown_name("unlikely group", name, UNLIKELY_GROUPS)


@checked
@dataclass(frozen=True)
class UnlikelyGroups:
    """Refuses molecules with a group that a chemist would hardly make: phosphines, N-F, S-F, peroxides, strained rings
    and the like; known drugs pass.

    Attributes:
        allow: the names of groups that are not refused, such as phosphines or imines.
        name: stored with refused samples.

    Example:
        >>> from rdkit import Chem
        >>> [mb.UnlikelyGroups().accepts(Chem.MolFromSmiles(text)) for text in ("CP(C)C", "CC(=O)Nc1ccc(O)cc1")]
        [False, True]
    """

    allow: Annotated[tuple[str, ...], Typed(tuple[Annotated[Text, Checked(_check_group)], ...])] = ()
    name: Annotated[str, Key("label")] = "unlikely_groups"

    def __post_init__(self) -> None:
        given: object = self.allow
        if isinstance(given, str):
            raise ScoringConfigurationError(f"allow must be a sequence of strings, got the string {given!r}")
        object.__setattr__(self, "allow", tuple(self.allow))
        for each in self.allow:
            _check_group(each)

    def accepts(self, molecule: Chem.Mol) -> bool:
        return unlikely_group(molecule, self.allow) is None


def unlikely_group(molecule: Chem.Mol, allow: tuple[str, ...] = ()) -> str | None:
    """Return the name of the first unlikely group that a molecule has, None if it has none."""
    for name, queries in _queries().items():
        if name not in allow and any(molecule.HasSubstructMatch(query) for query in queries):
            return name
    if "bridgehead_alkenes" not in allow and _has_bridgehead_alkene(molecule):
        return "bridgehead_alkenes"
    return None


def _has_bridgehead_alkene(molecule: Chem.Mol) -> bool:
    bridgeheads: list[int] = []
    if not _bridgeheads(molecule, bridgeheads):
        return False
    rings = molecule.GetRingInfo()
    for number in bridgeheads:
        bonds = molecule.GetAtomWithIdx(number).GetBonds()
        double = any(bond.GetBondType() == Chem.BondType.DOUBLE and bond.IsInRing() for bond in bonds)
        if double and all(size <= LARGEST_STRAINED for size in rings.AtomRingSizes(number)):
            return True
    return False


@cache
def _queries() -> dict[str, list[Chem.Mol]]:
    return {name: [Chem.MolFromSmarts(smarts) for smarts in patterns] for name, patterns in UNLIKELY_GROUPS.items()}
