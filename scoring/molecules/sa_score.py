"""The synthetic accessibility score, from a contributed script that RDKit ships beside its library.

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
    """Return the synthetic accessibility of a molecule, from 1 (easy) to 10 (very hard).

    The first call of a process reads the table of fragments, which takes a second.

    Raises:
        ScoringConfigurationError: this RDKit lacks its contributed scripts.
    """
    return float(_contribution().calculateScore(molecule))


def check_sa_score() -> None:
    """Check that RDKit has the contributed script.

    Raises:
        ScoringConfigurationError: the script is missing.
    """
    if not _script().is_file():
        raise ScoringConfigurationError(
            f"the SA score needs RDKit's contributed script {_script()}, which does not exist: "
            "install RDKit from a wheel or conda package that has the contributed scripts"
        )


def _script() -> Path:
    return Path(RDConfig.RDContribDir) / "SA_Score" / "sascorer.py"


@cache
def _contribution() -> ModuleType:
    """Load the script as a module that no other code can import, since its folder stays off the import path."""
    check_sa_score()
    specification = importlib.util.spec_from_file_location("molbuffer.scoring.molecules._rdkit_sascorer", _script())
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module
