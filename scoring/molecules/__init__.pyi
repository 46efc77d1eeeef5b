from .fingerprints import Fingerprint, count_fingerprint, tanimoto
from .molecules import (
    NamedMolecule,
    Standardisation,
    canonical_smiles,
    parse_smarts,
    parse_smiles,
    standardise,
    standardise_smiles,
)
from .properties import check_property, property_value
from .sa_score import check_sa_score

__all__ = [
    "Fingerprint",
    "NamedMolecule",
    "Standardisation",
    "canonical_smiles",
    "check_property",
    "check_sa_score",
    "count_fingerprint",
    "parse_smarts",
    "parse_smiles",
    "property_value",
    "standardise",
    "standardise_smiles",
    "tanimoto",
]
