"""Data sets of Minari and of Hugging Face, loaded by their own libraries."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import molbuffer as mb
from molbuffer.exchange.errors import ExportError, MissingExtraError
from molbuffer.exchange.exports import huggingface
from molbuffer.exchange.exports.huggingface import export_huggingface
from molbuffer.exchange.exports.minari import export_minari
from molbuffer.samplers import END, START
from molbuffer.storage import SampleStore


@pytest.fixture
def minari(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    pytest.importorskip("h5py", reason="pip install 'molbuffer[minari]'")
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    return pytest.importorskip("minari", reason="pip install 'molbuffer[minari]'")


def test_minari_loads_molecules_as_episodes(
    trained: tuple[mb.Lab, str], policy: mb.Policy, tmp_path: Path, minari: Any
) -> None:
    lab, _ = trained
    (tmp_path / "molbuffer").mkdir()
    written = export_minari(lab.store, tmp_path / "molbuffer" / "tiny-v0")
    dataset = minari.load_dataset("molbuffer/tiny-v0")
    rewarded = lab.query("SELECT smiles, raw, reward FROM sample_history WHERE reward IS NOT NULL").rows()
    assert dataset.total_episodes == written.episodes == len(rewarded)
    assert dataset.total_steps == written.steps
    found = []
    metadata = list(dataset.storage.get_episode_metadata(range(dataset.total_episodes)))
    for episode, about in zip(dataset.iterate_episodes(), metadata, strict=True):
        length = len(episode.actions)
        assert episode.observations[0] == START
        assert episode.observations[1:].tolist() == episode.actions.tolist()
        assert episode.rewards[:-1].tolist() == [0.0] * (length - 1)
        assert not episode.terminations[:-1].any() and not episode.truncations[:-1].any()
        assert episode.terminations[-1] != episode.truncations[-1]
        assert episode.terminations[-1] == (episode.actions[-1] == END)
        assert all(each in dataset.action_space for each in episode.actions)
        log_probs = episode.infos["log_prob"]
        assert np.isnan(log_probs[0]) and (log_probs[1:] <= 0).all() and len(log_probs) == length + 1
        (raw,) = policy.vocabulary.decode(episode.actions[None], np.array([length]))
        found.append((about["options"]["smiles"], raw, float(episode.rewards[-1])))
    assert sorted(found) == sorted(rewarded)


def test_minari_gets_the_behaviour_likelihoods(trained: tuple[mb.Lab, str], tmp_path: Path, minari: Any) -> None:
    lab, _ = trained
    export_minari(lab.store, tmp_path / "one", where="iteration = 0 AND event = 'build_buffer'")
    dataset = minari.MinariDataset(tmp_path / "one" / "data")
    build = lab.store.build(lab.query("SELECT build_id FROM builds WHERE event = 'build_buffer'").item())
    stored = sorted(
        round(float(row[np.isfinite(row)].sum()), 4) for row in build.samples.rows.log_probs[build.samples.kept]
    )
    given = sorted(round(float(each.infos["log_prob"][1:].sum()), 4) for each in dataset.iterate_episodes())
    assert given == stored and len(given) == 12


def test_an_export_to_minari_is_whole_or_not_there(trained: tuple[mb.Lab, str], tmp_path: Path, minari: Any) -> None:
    lab, _ = trained
    with pytest.raises(ExportError, match="no kept molecule"):
        export_minari(lab.store, tmp_path / "none", where="reward > 2")

    def fail(done: int, total: int) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        export_minari(lab.store, tmp_path / "full", progress=fail)
    assert [path.name for path in tmp_path.iterdir()] == ["lab"]
    (tmp_path / "taken").mkdir()
    with pytest.raises(ExportError, match="there is something at"):
        export_minari(lab.store, tmp_path / "taken")
    with pytest.raises(ExportError, match="no kept molecule"):
        export_minari(lab.store, tmp_path / "some" / "where" / "out", where="reward > 2")
    assert not (tmp_path / "some").exists()
    assert export_minari(lab.store, tmp_path / "some" / "where" / "out").path.is_dir()


def test_rewards_of_two_objectives_are_not_mixed(trained: tuple[mb.Lab, str], tmp_path: Path, minari: Any) -> None:
    lab, run_id = trained
    from molbuffer.storage import Reward

    build_id = lab.query("SELECT build_id FROM builds WHERE event = 'build_buffer'").item()
    lab.store.add_rewards(build_id, [Reward(0, "f" * 64, 0.5)], run_id)
    with pytest.raises(ExportError, match="rewards of several objectives"):
        export_minari(lab.store, tmp_path / "both")
    assert export_minari(lab.store, tmp_path / "one", objective_sha256="f" * 64).episodes == 1


def test_minari_needs_its_package(trained: tuple[mb.Lab, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("molbuffer.exchange.errors.importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r'pip install "molbuffer\[minari\]"'):
        export_minari(trained[0].store, tmp_path / "out")


def test_hugging_face_loads_molecules_and_samples(
    trained: tuple[mb.Lab, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("datasets", reason="pip install datasets")
    monkeypatch.setattr(huggingface, "SHARD_ROWS", 17)
    lab, run_id = trained
    out = tmp_path / "tiny"
    written = export_huggingface(lab.store, out, license="cc-by-4.0")
    from datasets import load_dataset

    loaded = load_dataset(str(out), cache_dir=str(tmp_path / "cache"))["train"]
    best = lab.query("SELECT smiles, reward FROM top_molecules").rows()
    assert loaded.num_rows == written.rows["molecules"] == len(best)
    assert loaded["smiles"][0] == best[0][0] and loaded["reward"][0] == best[0][1]
    assert "raw_qed" in loaded.column_names
    samples = load_dataset(str(out), "samples", cache_dir=str(tmp_path / "cache"))["train"]
    drawn = lab.query("SELECT count(*) AS n FROM sample_history").item()
    assert samples.num_rows == written.rows["samples"] == drawn
    names = sorted(path.name for path in (out / "samples").iterdir())
    assert names == [f"train-{i:05}-of-{len(names):05}.parquet" for i in range(len(names))] and len(names) > 1
    from huggingface_hub import DatasetCard

    card = DatasetCard.load(out / "README.md")
    assert (card.data.license, card.data.pretty_name) == ("cc-by-4.0", "tiny")
    assert [each["config_name"] for each in card.data.configs] == ["molecules", "samples"]
    assert run_id in card.text and "| `smiles` | string | canonical SMILES" in card.text


def test_a_card_without_a_licence_says_so(trained: tuple[mb.Lab, str], tmp_path: Path) -> None:
    export_huggingface(trained[0].store, tmp_path / "data", where="iteration < 2")
    card = (tmp_path / "data" / "README.md").read_text()
    assert "license:" not in card and "No licence was stated" in card and "`iteration < 2`" in card
    with pytest.raises(ExportError, match=r"no row of .* fulfils iteration > 99"):
        export_huggingface(trained[0].store, tmp_path / "none", where="iteration > 99")
    with SampleStore.create(tmp_path / "empty") as empty:
        with pytest.raises(ExportError, match="empty has no rows yet"):
            export_huggingface(empty, tmp_path / "none")
        pytest.importorskip("minari")
        with pytest.raises(ExportError, match=r"no molecule of .* has a reward"):
            export_minari(empty, tmp_path / "none")
