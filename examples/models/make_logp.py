"""Train a small model and write it as ONNX: a ridge regression of logP on counts of a Morgan fingerprint.

    pip install onnx
    molbuffer sample zinc-gru -n 3000 --seed 1 --out molecules.smi
    python make_logp.py molecules.smi        # writes logp.onnx into this folder

It stands in for a model of your own, and learns RDKit's logP of the molecules of a file.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, checker, helper, numpy_helper, save
from rdkit import Chem, rdBase
from rdkit.Chem import Crippen, rdFingerprintGenerator

BITS = 1024
RIDGE = 1.0


def main(file: Path) -> None:
    """Train on a file of SMILES, and write the model."""
    with rdBase.BlockLogs():
        parsed = [Chem.MolFromSmiles(line.split()[0]) for line in file.read_text().splitlines() if line.strip()]
    molecules = [molecule for molecule in parsed if molecule is not None]
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=BITS)
    counts = np.array([generator.GetCountFingerprintAsNumPy(molecule) for molecule in molecules], np.float64)
    logp = np.array([Crippen.MolLogP(molecule) for molecule in molecules])
    weights = np.linalg.solve(counts.T @ counts + RIDGE * np.eye(BITS), counts.T @ (logp - logp.mean()))
    write(weights, float(logp.mean()), Path(__file__).with_name("logp.onnx"))
    print(f"trained on {len(molecules)} molecules; error {np.abs(counts @ weights + logp.mean() - logp).mean():.2f}")


def write(weights: NDArray[np.float64], mean: float, path: Path) -> None:
    """Write an ONNX model that computes counts [n, bits] @ weights [bits, 1] + mean."""
    nodes = [
        helper.make_node("MatMul", ["counts", "weights"], ["product"]),
        helper.make_node("Add", ["product", "mean"], ["logp"]),
    ]
    graph = helper.make_graph(
        nodes,
        "logp",
        [helper.make_tensor_value_info("counts", TensorProto.FLOAT, ["molecules", BITS])],
        [helper.make_tensor_value_info("logp", TensorProto.FLOAT, ["molecules", 1])],
        [
            numpy_helper.from_array(weights.astype(np.float32)[:, None], "weights"),
            numpy_helper.from_array(np.array([mean], np.float32), "mean"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    checker.check_model(model)
    save(model, path)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
