"""The event files of TensorBoard, as its own reader reads them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

import molbuffer as mb
from molbuffer.exchange.errors import LoggerError
from molbuffer.exchange.loggers.following import fill_log
from molbuffer.exchange.loggers.points import logged_run

pytest.importorskip("tensorboard", reason="pip install 'molbuffer[tensorboard]'")


def event_file(folder: Path) -> Path:
    (found,) = folder.rglob("*tfevents*")
    return found


def read(folder: Path) -> Any:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(event_file(folder).parent), size_guidance={"scalars": 0, "images": 0, "tensors": 0})
    found.Reload()
    return found


def test_tensorboard_reads_numbers_pictures_and_the_configuration(trained: tuple[mb.Lab, str], tmp_path: Path) -> None:
    lab, run_id = trained
    fill_log(lab.store, run_id, mb.TensorBoard(str(tmp_path / "runs")))
    found = read(tmp_path / "runs")
    stored = lab.query("SELECT iteration, value, created FROM metrics WHERE build_id IS NULL AND name = 'loss'").rows()
    scalars = [(each.step, each.value) for each in found.Scalars("training/loss")]
    assert scalars == [(step, pytest.approx(value)) for step, value, _ in sorted(stored)]
    created = min(each[2] for each in stored)
    assert found.Scalars("training/loss")[0].wall_time == pytest.approx(created.timestamp(), abs=1)
    pictures = found.Images("best/molecules")
    assert pictures and all(each.encoded_image_string.startswith(b"\x89PNG") for each in pictures)
    (text,) = found.Tensors("configuration")[0].tensor_proto.string_val
    assert f"| run | {run_id} |" in text.decode() and "| objective.components.qed.weight | 1.0 |" in text.decode()
    assert event_file(tmp_path).parent.name == f"tiny_run-{run_id[:8]}"


def test_a_second_log_is_the_same_and_a_repeated_one_adds_nothing(trained: tuple[mb.Lab, str], tmp_path: Path) -> None:
    lab, run_id = trained
    logger = mb.TensorBoard(str(tmp_path / "a"))
    assert fill_log(lab.store, run_id, logger) > 100
    first = event_file(tmp_path / "a").read_bytes()
    assert fill_log(lab.store, run_id, logger) == 0
    fill_log(lab.store, run_id, mb.TensorBoard(str(tmp_path / "b")))
    assert event_file(tmp_path / "a").read_bytes() == event_file(tmp_path / "b").read_bytes() == first


@pytest.mark.parametrize("left", [0, 5, 3000, -40, -1], ids=str)
def test_a_log_that_a_crash_cut_off_is_continued(trained: tuple[mb.Lab, str], tmp_path: Path, left: int) -> None:
    """At any byte: in the first record, in a picture, in the last one."""
    lab, run_id = trained
    logger = mb.TensorBoard(str(tmp_path))
    fill_log(lab.store, run_id, logger)
    whole = event_file(tmp_path).read_bytes()
    os.truncate(event_file(tmp_path), left if left >= 0 else len(whole) + left)
    fill_log(lab.store, run_id, logger)
    assert event_file(tmp_path).read_bytes() == whole


def test_garbage_after_the_last_record_is_cut_off(trained: tuple[mb.Lab, str], tmp_path: Path) -> None:
    lab, run_id = trained
    logger = mb.TensorBoard(str(tmp_path))
    fill_log(lab.store, run_id, logger)
    whole = event_file(tmp_path).read_bytes()
    event_file(tmp_path).write_bytes(whole + b"\0" * 500)
    fill_log(lab.store, run_id, logger)
    assert event_file(tmp_path).read_bytes() == whole


def test_two_processes_do_not_write_one_log(trained: tuple[mb.Lab, str], tmp_path: Path) -> None:
    lab, run_id = trained
    logger = mb.TensorBoard(str(tmp_path))
    opened = logger.open(logged_run(lab.store, run_id))
    with pytest.raises(LoggerError, match="another process is writing the log"):
        fill_log(lab.store, run_id, logger)
    opened.close(None)


def test_a_folder_that_cannot_be_made_is_an_error_of_the_logger(trained: tuple[mb.Lab, str], tmp_path: Path) -> None:
    lab, run_id = trained
    (tmp_path / "file").write_text("")
    with pytest.raises(LoggerError, match="cannot be written"):
        fill_log(lab.store, run_id, mb.TensorBoard(str(tmp_path / "file")))
