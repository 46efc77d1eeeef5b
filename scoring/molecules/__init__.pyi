from .cxsmiles import plain_smiles
from .parsing import canonical_smiles, parse_canonical, parse_smiles
from .properties import check_property, property_value
from .queries.patterns import matches, parse_smarts, reads_as_before
from .queries.pharmacophore_sets import Codes, common_share, pharmacophores
from .sa_score import check_sa_score
from .similarity.fingerprints import Fingerprint, count_fingerprint, has_pairs, tanimoto
from .standardisation import (
    NamedMolecule,
    Standardisation,
    standardise,
    standardise_smiles,
)
from .valences import QUESTIONABLE, Questionable, is_ordinary

__all__ = [
    "QUESTIONABLE",
    "Codes",
    "Fingerprint",
    "NamedMolecule",
    "Questionable",
    "Standardisation",
    "canonical_smiles",
    "check_property",
    "check_sa_score",
    "common_share",
    "count_fingerprint",
    "has_pairs",
    "is_ordinary",
    "matches",
    "parse_canonical",
    "parse_smarts",
    "parse_smiles",
    "pharmacophores",
    "plain_smiles",
    "property_value",
    "reads_as_before",
    "standardise",
    "standardise_smiles",
    "tanimoto",
]
