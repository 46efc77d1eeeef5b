from .checked import check_values, checked
from .described import Description, is_own, name_of, source_sha256
from .errors import BrokenKindError, KindError, PluginError, SourceError, UnknownKindError, WrongKeyError
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
    NotNegative,
    Outermost,
    PolicyName,
    Share,
    Text,
    Typed,
)
from .one_of import OF_FUNCTION, OF_OBJECT, OneOf
from .plugin_calls import calling, refuse_class, shown, wrong_result
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
    "Description",
    "Family",
    "FileName",
    "FolderName",
    "Given",
    "Key",
    "Kind",
    "KindError",
    "KindTable",
    "MoleculeFile",
    "NotNegative",
    "OneOf",
    "Outermost",
    "PluginError",
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
    "calling",
    "check_values",
    "checked",
    "class_with",
    "install_source",
    "is_own",
    "name_of",
    "object_table",
    "other_packages",
    "read_source",
    "refuse",
    "refuse_class",
    "registered_object",
    "shown",
    "source_sha256",
    "values_marked",
    "wrong_result",
]
