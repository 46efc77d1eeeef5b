"""The files that pages of the documentation speak of, made in the folder that a page is run in."""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

ACTIVES = "CC(=O)Nc1ccc(O)cc1 paracetamol\nCC(=O)Oc1ccccc1C(=O)O aspirin\n"
MOLECULES = (ROOT / "tests" / "data" / "molecules.smi").read_text().splitlines()
DOCKING = "def score(smiles: str) -> float:\n    return -6.0 - len(smiles) / 10\n"
MY_MODULE = """
from dataclasses import dataclass
from typing import ClassVar

from molbuffer.samplers import Draw, Sampler, SamplerSize, Vocabulary, encode_rows
from molbuffer.samplers.models import LanguageModel


@dataclass(frozen=True)
class MySampler(Sampler):
    name: str
    vocabulary: Vocabulary
    size: SamplerSize = SamplerSize()
    spellings: int = 1
    kind: ClassVar[str] = "mine"

    def draw(self, n, seed):
        texts = ["C" * (1 + i) for i in range(n)]
        return Draw(texts, encode_rows(texts, self.vocabulary))


class MyModel(LanguageModel):
    kind = "my model"

    @dataclass(frozen=True)
    class Sizes:
        vocabulary_size: int
        max_length: int = 60

    def logits(self, tokens):
        raise NotImplementedError

    def step(self, n, device):
        raise NotImplementedError
"""


def _write(**files: str) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        for name, text in files.items():
            (folder / name.replace("__", ".")).write_text(text)

    return write


def _other_objective(folder: Path) -> None:
    text = (folder / "campaign.toml").read_text()
    (folder / "other.toml").write_text(text.replace('kind = "qed"', 'kind = "qed"\nweight = 2.0', 1))
    (folder / "actives.smi").write_text(ACTIVES)


def _rounds(folder: Path) -> None:
    text = (folder / "campaign.toml").read_text()
    (folder / "first.toml").write_text(text)
    pareto = text.replace("[objective]", '[objective]\naggregation = "pareto"\nreference = "front.csv"')
    (folder / "pareto.toml").write_text(pareto.replace("[offline]", '[offline]\nrelabel = "cheap"'))


def _scorers(folder: Path) -> None:
    _rounds(folder)
    shutil.copy(ROOT / "examples" / "conformers.py", folder)
    _write(docking__py=DOCKING, receptor__pdbqt="", dock__py="")(folder)


def _offline(folder: Path) -> None:
    from molbuffer.storage import SampleStore

    with SampleStore.open(folder / "lab") as store:
        store.archive(folder / "old.tar.gz")
        with SampleStore.create(folder.parent / "other-lab") as other:
            store.archive(folder / "plain")
            with SampleStore.open(folder / "plain", read_only=True) as archive:
                other.merge(archive)


def _docking(folder: Path) -> None:
    for name in ("receptor.pdbqt", "ligand.sdf"):
        shutil.copy(ROOT / "examples" / "docking" / name, folder)


def _models(folder: Path) -> None:
    shutil.copy(ROOT / "examples" / "models" / "logp.onnx", folder)
    (folder / "my-model").mkdir()
    shutil.copy(ROOT / "examples" / "models" / "logp.pt", folder / "my-model")


FILES: Mapping[str, Callable[[Path], None]] = {
    "coming-from.md": _write(
        staged_learning__toml='run_type = "staged_learning"\n[parameters]\nprior_file = "reinvent.prior"\n'
        'agent_file = "reinvent.prior"\n[[stage]]\nmax_steps = 2\n[stage.scoring]\ntype = "geometric_mean"\n'
        "[[stage.scoring.component]]\n[[stage.scoring.component.Qed.endpoint]]\nweight = 1.0\n"
    ),
    "how-to/docking.md": _docking,
    "how-to/kinds.md": _write(my_module__py=MY_MODULE),
    "how-to/models_as_scorers.md": _models,
    "how-to/offline.md": _offline,
    "how-to/pmo.md": _write(actives__smi=ACTIVES),
    "how-to/relabel.md": _other_objective,
    "how-to/scorers.md": _scorers,
    "how-to/transfer-learning.md": _write(own__csv="smiles\n" + "\n".join(line.split()[0] for line in MOLECULES[:40])),
}
"""By page; other pages need none beside ``campaign.toml`` and the store ``lab``."""
