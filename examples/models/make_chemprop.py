"""Train a small Chemprop model of RDKit's logP, and write it as `chemprop train` writes its models.

    pip install 'molbuffer[chemprop]'
    molbuffer sample zinc-gru -n 1000 --seed 1 --out molecules.smi
    python make_chemprop.py molecules.smi        # writes logp.pt into this folder

It stands in for a model of your own. To train one of your own, use Chemprop's command instead:

    chemprop train --data-path data.csv --task-type regression --ensemble-size 5 --output-dir my-model
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from chemprop import data, models, nn
from chemprop.models.utils import save_model
from rdkit import Chem, rdBase
from rdkit.Chem import Crippen

EPOCHS = 10
WIDTH = 48


def main(file: Path) -> None:
    """Train on a file of SMILES, and write the model."""
    torch.manual_seed(0)
    with rdBase.BlockLogs():
        parsed = [Chem.MolFromSmiles(line.split()[0]) for line in file.read_text().splitlines() if line.strip()]
    molecules = [molecule for molecule in parsed if molecule is not None]
    logp = np.array([[Crippen.MolLogP(molecule)] for molecule in molecules])
    dataset = data.MoleculeDataset(
        [data.MoleculeDatapoint(molecule, y) for molecule, y in zip(molecules, logp, strict=True)]
    )
    unscale = nn.UnscaleTransform.from_standard_scaler(dataset.normalize_targets())
    model = models.MPNN(
        nn.BondMessagePassing(d_h=WIDTH, depth=3),
        nn.SumAggregation(),
        nn.RegressionFFN(input_dim=WIDTH, hidden_dim=WIDTH, output_transform=unscale),
        batch_norm=False,
    )
    optimiser = torch.optim.Adam(model.parameters(), lr=2e-3)
    for _ in range(EPOCHS):
        for batch in data.build_dataloader(dataset, batch_size=64, seed=0):
            predicted = model.predictor.train_step(model.fingerprint(batch.bmg, batch.V_d, batch.X_d))
            loss = ((predicted - batch.Y) ** 2).mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    print(
        f"trained on {len(molecules)} molecules; the error of the last batch is {float(loss) ** 0.5:.2f} of the spread"
    )
    save_model(Path(__file__).with_name("logp.pt"), model.eval(), ["logp"])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
