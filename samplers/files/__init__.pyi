from .epochs import EpochPosition, EpochSampler, epoch_sampler, rows_of_draw
from .file_sampler import CHECKED_ROWS, FileSampler
from .packed_rows import PackedRows, open_rows
from .text_files import FileRow, read_columns, read_smiles_file
from .written_forms import largest_fragments, usable_texts

__all__ = [
    "CHECKED_ROWS",
    "EpochPosition",
    "EpochSampler",
    "FileRow",
    "FileSampler",
    "PackedRows",
    "epoch_sampler",
    "largest_fragments",
    "open_rows",
    "read_columns",
    "read_smiles_file",
    "rows_of_draw",
    "usable_texts",
]
