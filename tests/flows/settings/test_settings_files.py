"""Files that no molecule can be read of are named with the key, before a run."""

from pathlib import Path

import pytest

from molbuffer.flows.settings.problems import ConfigurationError
from molbuffer.flows.settings.settings import load_settings

FILES = {
    "good.smi": "CCO ethanol\n",
    "empty.smi": "",
    "blank.smi": "\n \n",
    "good.csv": "smiles,before,after\nC,CC,CCC\n",
    "header.csv": "smiles\n",
    "other.csv": "name,weight\na,1\n",
    "molecules.sdf": "C\n",
    "prose.smi": "nothing\nhere\n",
    "prose.csv": "source,target\nCC,nothing\nhere,CC\n",
    "mixed.smi": "nothing\nCCO\n",
    "doubled.csv": "smiles,smiles\nCC,CCO\n",
}
DATASET = 'kind = "dataset"\nbuffer_size = 5\n'
LATENT = 'kind = "latent"\npolicy = "zinc-vae"\nbuffer_size = 5\n'
PAIRS = 'kind = "pair_dataset"\nbuffer_size = 5\n'


def load(folder: Path, sampler: str) -> None:
    for name, text in FILES.items():
        (folder / name).write_text(text)
    config = folder / "c.toml"
    config.write_text(f'[[objective.components]]\nkind = "qed"\n[[samplers]]\nname = "a"\n{sampler}\n')
    load_settings(config)


@pytest.mark.parametrize(
    "sampler",
    [
        DATASET + 'path = "good.smi"',
        DATASET + 'path = "mixed.smi"',
        DATASET + 'path = "good.csv"\ncolumn = "before"',
        LATENT + 'molecules = "good.smi"',
        PAIRS + 'path = "good.csv"\nsource_column = "before"\ntarget_column = "after"',
    ],
)
def test_files_with_molecules_are_taken(tmp_path: Path, sampler: str) -> None:
    load(tmp_path, sampler)


@pytest.mark.parametrize(
    ("sampler", "told"),
    [
        (DATASET + 'path = "empty.smi"', r"line 7, key `samplers\[0\].path`: .*empty.smi"),
        (DATASET + 'path = "blank.smi"', r"`samplers\[0\].path`: .*blank.smi"),
        (DATASET + 'path = "header.csv"', r"`samplers\[0\].path`: .*header.csv"),
        (DATASET + 'path = "other.csv"', r"other.csv.* name, weight"),
        (DATASET + 'path = "good.csv"\ncolumn = "SMILE"', "good.csv.* 'SMILE'.* smiles, before"),
        (DATASET + 'path = "prose.smi"', r"`samplers\[0\].path`: .*prose.smi .*nothing"),
        (LATENT + 'molecules = "prose.smi"', r"`samplers\[0\].molecules`: .*prose.smi"),
        (PAIRS + 'path = "prose.csv"', r"`samplers\[0\].path`: .*prose.csv"),
        (DATASET + 'path = "doubled.csv"', "doubled.csv.*'smiles', 'smiles'"),
        (DATASET + 'path = "molecules.sdf"', r"molecules.sdf: .*\.smi,.* \.parquet"),
        (LATENT + 'molecules = "empty.smi"', r"`samplers\[0\].molecules`: .*empty.smi"),
        (PAIRS + 'path = "good.csv"', "good.csv.* 'source'"),
        (
            'kind = "mutation"\nbuffer_size = 5\nbase_sampler = { kind = "dataset", path = "empty.smi" }',
            r"`samplers\[0\].base_sampler.path`: .*empty.smi",
        ),
    ],
)
def test_a_file_that_no_molecule_can_be_read_of_is_named(tmp_path: Path, sampler: str, told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        load(tmp_path, sampler)


def test_what_is_no_text_is_reported_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as refused:
        load(tmp_path, DATASET + 'path = "good.csv"\ncolumn = 3')
    assert [problem.key for problem in refused.value.problems] == ["samplers[0].column"]


@pytest.mark.parametrize(
    ("sampler", "key", "column"),
    [
        ('kind = "dataset"\npath = "t.csv"\nid_column = "IDD"', "id_column", "'IDD'"),
        ('kind = "dataset"\npath = "t.csv"\ncolumn = "smi"', "column", "'smi'"),
        ('kind = "dataset"\npath = "u.csv"', "column", "'smiles' or 'canonical_smiles'"),
        ('kind = "dataset"\npath = "t.smi"\ncolumn = "other"', "column", "'other'"),
        ('kind = "dataset"\npath = "t.smi"\nid_column = "ID"', "id_column", "'ID'"),
        ('kind = "pair_dataset"\npath = "u.csv"\nsource_column = "froom"', "source_column", "'froom'"),
        ('kind = "pair_dataset"\npath = "u.csv"\ntarget_column = "too"', "target_column", "'too'"),
        ('kind = "pair_dataset"\npath = "u.csv"\nid_column = "IDD"', "id_column", "'IDD'"),
        ('kind = "pair_dataset"\npath = "t.csv"', "source_column", "'source'"),
    ],
)
def test_a_column_that_is_not_there_is_reported_at_the_key_that_names_it(
    tmp_path: Path, sampler: str, key: str, column: str
) -> None:
    (tmp_path / "t.csv").write_text("smiles,ID\nCCO,1\n")
    (tmp_path / "u.csv").write_text("source,target,ID\nCCO,CCN,1\n")
    (tmp_path / "t.smi").write_text("CCO one\n")
    file = tmp_path / "c.toml"
    file.write_text(
        f'objective = {{ components = [{{ kind = "qed" }}] }}\n[[samplers]]\nname = "d"\n{sampler}\np_batch = 1.0\n'
    )
    with pytest.raises(ConfigurationError) as raised:
        load_settings(file)
    [problem] = raised.value.problems
    assert problem.key == f"samplers[0].{key}"
    assert f"column {column}" in problem.message
