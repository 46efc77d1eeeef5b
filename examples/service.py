"""A scoring service: the solubility of molecules by ESOL (Delaney 2004, doi:10.1021/ci034243x).

    python service.py 8901

It answers a POST of {"molecules": [{"id": ..., "smiles": ...}]} with the logarithm (base 10) of the solubility of each
molecule in mol/l. If the environment variable SERVICE_TOKEN is set, requests without this token are refused.
"""

import json
import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from rdkit import Chem
from rdkit.Chem import Crippen, Descriptors, Lipinski


def log_solubility(smiles: str) -> float:
    """Return the logarithm (base 10) of the solubility in mol/l."""
    molecule = Chem.MolFromSmiles(smiles)
    aromatic = sum(atom.GetIsAromatic() for atom in molecule.GetAtoms()) / molecule.GetNumHeavyAtoms()
    return float(
        0.16
        - 0.63 * Crippen.MolLogP(molecule)
        - 0.0062 * Descriptors.MolWt(molecule)
        + 0.066 * Lipinski.NumRotatableBonds(molecule)
        - 0.74 * aromatic
    )


class Scores(BaseHTTPRequestHandler):
    """The handler of scoring requests."""

    def do_POST(self) -> None:
        """Score the molecules of a request."""
        token = os.environ.get("SERVICE_TOKEN")
        if token and self.headers.get("Authorization") != f"Bearer {token}":
            self.send_error(401)
            return
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        rows: list[dict[str, Any]] = [
            {"id": row["id"], "log_s": log_solubility(row["smiles"])} for row in request["molecules"]
        ]
        body = json.dumps({"results": rows}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Suppress the log line of each request."""


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Scores)
    sys.stdout.write(f"http://127.0.0.1:{server.server_address[1]}/score\n")
    sys.stdout.flush()
    server.serve_forever()
