"""Convert the scoring components of REINVENT 4 to components and filters of a campaign."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from molbuffer.flows.tools.reinvent_config.reading import Table, single_entries
from molbuffer.flows.tools.reinvent_config.transforms import plain_name, transform_of
from molbuffer.scoring import ScoringError, SubstructureFilter

PROPERTIES = {
    "molecularweight": "molecular_weight",
    "tpsa": "tpsa",
    "numatomstereocenters": "stereo_centres",
    "hbondacceptors": "hydrogen_bond_acceptors",
    "hbonddonors": "hydrogen_bond_donors",
    "numrotbond": "rotatable_bonds",
    "csp3": "fraction_sp3",
    "numheavyatoms": "heavy_atoms",
    "numheteroatoms": "heteroatoms",
    "numrings": "rings",
    "numaromaticrings": "aromatic_rings",
    "numaliphaticrings": "aliphatic_rings",
    "largestringsize": "largest_ring",
    "slogp": "logp",
}
"""The properties that correspond to components of REINVENT 4, by the plain names of these."""

DESCRIPTORS = {
    "molwt": "molecular_weight",
    "exactmolwt": "exact_mass",
    "mollogp": "logp",
    "molmr": "molar_refractivity",
    "fractioncsp3": "fraction_sp3",
    "heavyatomcount": "heavy_atoms",
    "numheteroatoms": "heteroatoms",
    "numheterocycles": "heterocycles",
    "numhacceptors": "hydrogen_bond_acceptors",
    "numhdonors": "hydrogen_bond_donors",
    "nocount": "lipinskiHBA",
    "nhohcount": "lipinskiHBD",
    "numrotatablebonds": "rotatable_bonds",
    "numaliphaticrings": "aliphatic_rings",
    "numaromaticrings": "aromatic_rings",
    "numsaturatedrings": "saturated_rings",
    "numamidebonds": "amide_bonds",
    "numspiroatoms": "spiro_atoms",
    "numbridgeheadatoms": "bridgehead_atoms",
    "numatomstereocenters": "stereo_centres",
    "ringcount": "rings",
    "tpsa": "tpsa",
    "labuteasa": "labuteASA",
    "hallkieralpha": "hallKierAlpha",
    "phi": "Phi",
    "qed": "qed",
    **{f"kappa{i}": f"kappa{i}" for i in (1, 2, 3)},
    **{f"chi{i}{letter}": f"chi{i}{letter}" for i in range(5) for letter in "nv"},
}
"""The properties that correspond to descriptors of RDKit, by the names of these in lower case."""

_OWN_FUNCTION = 'write it as a function of yours (kind = "python")'
_PROGRAM = 'call it as a program (kind = "external")'
WITHOUT_COUNTERPART = {
    "graphlength": _OWN_FUNCTION,
    "numsp": _OWN_FUNCTION,
    "numsp2": _OWN_FUNCTION,
    "numsp3": _OWN_FUNCTION,
    "pmi": _OWN_FUNCTION,
    "molvolume": _OWN_FUNCTION,
    "groupcount": "a substructure is there or not, and is not counted; " + _OWN_FUNCTION,
    "matchingsubstructure": 'it halves the total of molecules without the pattern; a component of kind "substructure", '
    "or must_have of a filter, asks for the pattern in another way",
    "mmp": "it gives texts, and raw values are numbers",
    "ringprecedence": _OWN_FUNCTION,
    "rocssimilarity": _PROGRAM,
    "dockstream": 'docking is kind = "vina", or ' + _PROGRAM,
    "icolos": _PROGRAM,
    "maize": _PROGRAM,
    "synthsense": _PROGRAM,
    "cazp": _PROGRAM,
    "chemprop": "models of Chemprop 1 are not read; train one with Chemprop 2",
    "qptuna": 'it is a pickle, which may run any code; export the model as ONNX (kind = "onnx")',
    "reactionfilter": "it belongs to generators that join fragments",
    "rest": 'its requests have a form of their own; kind = "http" sends molecules to a service',
    "mordreddescriptors": _OWN_FUNCTION,
    "molscore": _OWN_FUNCTION,
    "tdc": 'the objectives of PMO have names: `molbuffer objectives`, [objective] named = "pmo:..."',
}
"""Advice for components of REINVENT 4 that have no counterpart, by their plain names."""


@dataclass
class Scoring:
    """The conversion of a scoring table.

    Attributes:
        components: the components of the objective.
        filters: the filters, made from components that become filters.
    """

    components: list[dict[str, Any]] = field(default_factory=list)
    filters: list[dict[str, Any]] = field(default_factory=list)


def scoring_of(tables: list[Table], folder: Path) -> Scoring:
    """Return the components and filters that a list of components of REINVENT 4 is converted to.

    Args:
        tables: the list; each table has one inner table, by the name of its component.
        folder: the folder of files that components name.
    """
    found = Scoring()
    for table in tables:
        for name, component in single_entries(table):
            _add(found, name, component, folder)
    _name_apart(found)
    return found


def _add(found: Scoring, name: str, component: Table, folder: Path) -> None:
    kind = plain_name(name)
    shared = component.table("params")
    endpoints = component.tables("endpoint")
    if not endpoints:
        component.wrong("endpoint", f"the component {name} has no [[component.{name}.endpoint]]")
    component.say_unknown()
    for endpoint in endpoints:
        own = endpoint.table("params")
        content = {**(shared.content if shared else {}), **(own.content if own else {})}
        params = Table(content, (*endpoint.path, "params"), endpoint.remarks)
        if kind == "customalerts":
            found.filters += _alerts(endpoint, params)
        else:
            found.components += _component(kind, name, endpoint, params, folder)
        params.say_unknown()
        endpoint.say_unknown()


def _component(kind: str, name: str, endpoint: Table, params: Table, folder: Path) -> Iterator[dict[str, Any]]:
    label = endpoint.text("name", name).strip() or name
    weight = endpoint.number("weight", 1.0)
    if weight < 0:
        endpoint.wrong("weight", f"got {weight:g}, expected a weight of at least 0")
    transform, trouble = transform_of(endpoint)
    made, reason = _made(kind, params, folder)
    if made is None or trouble:
        # One remark covers all keys of a component that is left out.
        params.content = {}
        endpoint.differs(None, f"the component {name} ({label!r}) is left out: {reason or trouble}")
        return
    yield {"name": label, "weight": max(weight, 0.0), **made, **({"transform": transform} if transform else {})}


def _made(kind: str, params: Table, folder: Path) -> tuple[dict[str, Any] | None, str]:
    """Return the keys of a component without name, weight and transform, or None and the reason for no counterpart."""
    if kind in PROPERTIES:
        if kind == "tpsa" and params.flag("includeSandP", False):
            return None, "the property tpsa counts N and O only; " + _OWN_FUNCTION
        return {"kind": "property", "property": PROPERTIES[kind]}, ""
    if kind in _MADE:
        return _MADE[kind](params, folder)
    if kind.startswith("fragment"):
        return None, "it describes the linker of LinkInvent"
    known = WITHOUT_COUNTERPART.get(kind, "no component of this name is known")
    return None, known


def _qed(_params: Table, _folder: Path) -> tuple[dict[str, Any] | None, str]:
    return {"kind": "qed"}, ""


def _sa_score(_params: Table, _folder: Path) -> tuple[dict[str, Any] | None, str]:
    return {"kind": "sa_score"}, ""


def _descriptor(params: Table, _folder: Path) -> tuple[dict[str, Any] | None, str]:
    name = params.text("descriptor")
    known = DESCRIPTORS.get(name.lower())
    if known is None:
        return None, f"no property has the values of RDKit's descriptor {name!r}; " + _OWN_FUNCTION
    return {"kind": "property", "property": known}, ""


def _similarity(params: Table, _folder: Path) -> tuple[dict[str, Any] | None, str]:
    targets = params.texts("smiles")
    radius = params.count("radius", 3, least=0)
    features, counts = params.flag("use_features", False), params.flag("use_counts", False)
    if not targets:
        return None, "params.smiles has no molecule"
    if len(targets) > 1:
        params.differs(
            "smiles", f"the first of {len(targets)} molecules is the target, as in REINVENT; others are left out"
        )
    if not counts:
        params.differs("use_counts", "fingerprints are counts here, so that similarities differ from those of bits")
    fingerprint = "fcfp" if features else "morgan"
    return {"kind": "similarity", "target": targets[0], "fingerprint": fingerprint, "radius": radius}, ""


def _program(params: Table, folder: Path) -> tuple[dict[str, Any] | None, str]:
    try:
        arguments = shlex.split(params.text("args"))
    except ValueError as error:
        params.wrong("args", f"cannot be split into arguments: {error}")
        arguments = []
    command = [params.text("executable"), *arguments]
    if not command[0]:
        return None, "params.executable names no program"
    return {
        "kind": "external",
        "command": command,
        "protocol": "reinvent",
        "output": params.text("property"),
        "folder": str(folder),
        "revision": "of REINVENT",
    }, ""


def _chemprop(params: Table, folder: Path) -> tuple[dict[str, Any] | None, str]:
    if [name for name in params.texts("featurizers") if name]:
        return None, "models of Chemprop with descriptors beside the graph are not read"
    params.differs("featurizers_options", "no featurizer takes them")
    model, task = params.text("model_path"), params.text("target_column")
    if not model:
        return None, "params.model_path names no model"
    return {"kind": "chemprop", "model": str(folder / model), **({"output": task} if task else {})}, ""


def _alerts(endpoint: Table, params: Table) -> Iterator[dict[str, Any]]:
    label = endpoint.text("name").strip() or "custom_alerts"
    # REINVENT ignores both keys.
    endpoint.number("weight", 1.0)
    endpoint.table("transform")
    usable = []
    for smarts in params.texts("smarts"):
        try:
            SubstructureFilter(must_not_have=(smarts,))
            usable.append(smarts)
        except ScoringError as error:
            params.differs("smarts", f"the pattern {smarts!r} is left out: {error}")
    if not usable:
        params.differs("smarts", "no pattern is left, so there is no filter")
        return
    endpoint.differs(
        None,
        f"the alerts {label!r} are a filter: what they match is rejected and not learned from, while REINVENT learns "
        "from it with a score of 0; weights do not count in either",
    )
    yield {"kind": "substructure", "label": label, "must_not_have": usable}


def _name_apart(found: Scoring) -> None:
    """Number repeated names, since each component and each filter must have a unique name."""
    for tables, key in ((found.components, "name"), (found.filters, "label")):
        known: set[str] = set()
        for table in tables:
            name, number = table[key], 2
            while table[key] in known:
                table[key], number = f"{name} {number}", number + 1
            known.add(table[key])


_MADE: dict[str, Callable[[Table, Path], tuple[dict[str, Any] | None, str]]] = {
    "qed": _qed,
    "sascore": _sa_score,
    "rdkitdescriptors": _descriptor,
    "tanimotosimilarity": _similarity,
    "tanimotodistance": _similarity,
    "externalprocess": _program,
    "chemprop2": _chemprop,
}
