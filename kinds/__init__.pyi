from .errors import BrokenKindError, KindError, SourceError, UnknownKindError, WrongKeyError
from .family import Family, Kind, class_with, other_packages
from .keys import (
    Checked,
    Condition,
    Count,
    FileName,
    FolderName,
    Given,
    Key,
    MoleculeFile,
    Outermost,
    PolicyName,
    Share,
    Text,
    Typed,
)
from .one_of import OF_FUNCTION, OF_OBJECT, OneOf
from .python_object import PythonObject, add_object, object_table, registered_object
from .python_source import PythonSource, install_source, read_source
from .section import Section, refuse
from .table import KindTable, Table, TableOf, values_marked

__all__ = [
    "OF_FUNCTION",
    "OF_OBJECT",
    "BrokenKindError",
    "Checked",
    "Condition",
    "Count",
    "Family",
    "FileName",
    "FolderName",
    "Given",
    "Key",
    "Kind",
    "KindError",
    "KindTable",
    "MoleculeFile",
    "OneOf",
    "Outermost",
    "PolicyName",
    "PythonObject",
    "PythonSource",
    "Section",
    "Share",
    "SourceError",
    "Table",
    "TableOf",
    "Text",
    "Typed",
    "UnknownKindError",
    "WrongKeyError",
    "add_object",
    "class_with",
    "install_source",
    "object_table",
    "other_packages",
    "read_source",
    "refuse",
    "registered_object",
    "values_marked",
]
