"""The synthetic accessibility score, from the contribution that RDKit ships as a script beside its library.

Ertl and Schuffenhauer, "Estimation of synthetic accessibility score of drug-like molecules based on molecular
complexity and fragment contributions", Journal of Cheminformatics 1:8 (2009).
"""

from __future__ import annotations

import importlib.util
from functools import cache
from pathlib import Path
from types import ModuleType

from rdkit import Chem, RDConfig

from molbuffer.scoring.errors import ScoringConfigurationError

EASIEST, HARDEST = 1.0, 10.0


def sa_score(molecule: Chem.Mol) -> float:
    """How hard a molecule is to make: from 1, easy, to 10, very hard.

    The first call of a process takes a second, in which the table of fragments is read.

    Raises:
        ScoringConfigurationError: this RDKit came without its contributions.
    """
    return float(_contribution().calculateScore(molecule))


def check_sa_score() -> None:
    """Refuse to go on where RDKit came without the contribution.

    Raises:
        ScoringConfigurationError: it is not there.
    """
    if not _script().is_file():
        raise ScoringConfigurationError(
            f"the SA score needs RDKit's contribution at {_script()}, which is not there: "
            "install RDKit from its wheel or conda package with the contributions"
        )


def _script() -> Path:
    return Path(RDConfig.RDContribDir) / "SA_Score" / "sascorer.py"


@cache
def _contribution() -> ModuleType:
    """Return the script as a module that nothing else can import: its folder stays off the import path."""
    check_sa_score()
    specification = importlib.util.spec_from_file_location("molbuffer.scoring.molecules._rdkit_sascorer", _script())
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module
