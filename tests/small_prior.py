"""Makes the small prior of the tests of flows, whose products of matrices are a small part of those of a bundled one.

    python tests/small_prior.py tests/data/small-prior

trains a GRU of 46,000 weights on molecules that are put together at random from rings, linkers and ends: few rules,
which so small a model can keep. Its vocabulary is that of zinc-gru.
"""

import random
import sys
from pathlib import Path

import torch
from rdkit import Chem

from molbuffer.samplers.models.distribution import UNTRUNCATED
from molbuffer.samplers.models.gru import GRUArchitecture, GRULanguageModel
from molbuffer.samplers.policies.drawing import draw_rows
from molbuffer.samplers.policies.policy import Policy, find_policy, load_policy, policy_files
from molbuffer.samplers.seeds import torch_generator
from molbuffer.scoring import standardise_many
from molbuffer.training.pretraining.corpus import Corpus
from molbuffer.training.pretraining.pretrain import pretrain
from molbuffer.training.pretraining.settings import PretrainSettings

MOLECULES, SEED, DRAWS = 40_000, 0, 2000
ENDS = ("C", "CC", "CCC", "CC(C)", "CC(C)C", "CO", "COC", "CN(C)", "N", "O", "F", "Cl", "Br", "N#C", "FC(F)(F)", "CS")
LINKERS = ("", "", "C", "CC", "O", "N", "S", "OC", "CO", "CN", "NC", "C(=O)N", "NC(=O)", "C(=O)", "OCC", "CC(=O)N")
AROMATIC = ("c1ccc({})cc1", "c1cccc({})c1", "c1ccc({})nc1", "c1ccc({})c(F)c1", "c1ccc({})s1", "c1nc({})cs1")
ALIPHATIC = ("N1CCC({})CC1", "C1CCN({})CC1", "C1CCC({})C1", "N1CCN({})CC1", "C1CCC({})O1")
LAST = ("c1ccccc1", "c1ccc(F)cc1", "c1cccnc1", "c1ccc(Cl)cc1", "C1CCCCC1", "N1CCOCC1", "C", "CC", "C(=O)O", "OC", "F")


def molecule(rng: random.Random) -> str:
    ring = rng.choice(AROMATIC + ALIPHATIC)
    branch = rng.choice(LINKERS) + rng.choice(LAST).replace("1", "2")
    return rng.choice(ENDS) + rng.choice(LINKERS) + ring.format(branch)


def main(folder: Path) -> None:
    rng = random.Random(SEED)
    torch.manual_seed(SEED)
    made = sorted({molecule(rng) for _ in range(MOLECULES)})
    smiles = [text for text in made if Chem.MolFromSmiles(text) is not None]
    vocabulary = load_policy(find_policy("zinc-gru")).vocabulary
    sizes = GRUArchitecture(len(vocabulary), embedding_size=32, hidden_size=96, layers=1, max_length=64)
    model = GRULanguageModel(sizes)
    settings = PretrainSettings(epochs=5, decay_epochs=4, batch_size=64, learning_rate=5e-3, seed=SEED)
    loss = pretrain(model, Corpus.split(smiles, vocabulary, 1000, SEED), settings)
    model.eval()
    drawn = draw_rows(Policy(model, vocabulary, ""), DRAWS, UNTRUNCATED, torch_generator(SEED)).raw
    valid = {text for text in standardise_many(drawn) if text is not None}
    print(f"{len(smiles)} molecules, held-out loss {loss:.2f}, {len(valid)} different molecules of {DRAWS} draws")
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in policy_files(model, vocabulary, torch.float16).items():
        (folder / name).write_bytes(data)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
