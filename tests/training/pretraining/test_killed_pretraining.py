import importlib.util
import signal
import subprocess
import sys
from pathlib import Path

import torch

from molbuffer.storage import SampleStore

SCRIPT = Path(__file__).with_name("killed_pretraining.py")
spec = importlib.util.spec_from_file_location("killed_pretraining", SCRIPT)
script = importlib.util.module_from_spec(spec)
spec.loader.exec_module(script)


def test_a_pretraining_that_was_killed_goes_on_from_its_last_checkpoint_bit_by_bit(
    store: SampleStore, tmp_path: Path
) -> None:
    with SampleStore.create(tmp_path / "whole") as other:
        whole = script.train(other, checkpoint_seconds=1e9)
    with subprocess.Popen([sys.executable, SCRIPT, store.path], stdout=subprocess.PIPE, text=True) as killed:
        for line in killed.stdout:
            if (step := int(line)) >= 10:
                killed.send_signal(signal.SIGKILL)
                break
    assert killed.returncode == -signal.SIGKILL
    reached = store.latest_checkpoint("run").iteration
    assert reached >= step, "a checkpoint that was told is there"
    resumed = script.train(store)
    assert all(torch.equal(weights, resumed[name]) for name, weights in whole.items())
    events = store.query("SELECT status FROM run_events WHERE run_id = 'run' ORDER BY created")["status"].to_list()
    assert events == ["started", "resumed", "finished"]
    assert store.maintenance.vacuum(dry_run=True).removed == (), "its checkpoints are where the store looks"
