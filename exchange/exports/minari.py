"""A data set of Minari, the format of offline reinforcement learning: https://minari.farama.org.

An episode is a kept molecule with a reward. Its actions are the tokens in the order in which they were drawn, END
included, and an observation is the previous token: START, then each action. The reward of the last step is that of the
molecule, and the reward of every other step is 0. An episode that ends without the token END is truncated. ``infos``
has ``log_prob``, the log-probability of each action under the behaviour policy: NaN for the first observation, which no
action precedes, and for rows whose likelihood is unknown. The options of an episode name its molecule.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from molbuffer.exchange.errors import ExportError, check_extra
from molbuffer.exchange.exports.folder import new_folder
from molbuffer.samplers import END, START, Vocabulary, expressible, stored_rows
from molbuffer.storage import HistoryIndex, IndexScope, Positions, SampleStore

EPISODES_TOGETHER = 1000
_VOCABULARY = "vocabulary.json"
_OBJECTIVES = """SELECT DISTINCT objective_sha256 FROM {rewards} AS rewards WHERE status = 'ok' ORDER BY 1"""


@dataclass(frozen=True)
class MinariExport:
    """The result of an export to Minari.

    Attributes:
        path: the folder of the data set.
        dataset_id: the name of the data set in Minari, NAMESPACE/NAME-vN.
        episodes: the number of molecules.
        steps: the number of tokens.
        snapshot: the snapshot of the store that was exported.
        objective_sha256: the objective of the rewards.
    """

    path: Path
    dataset_id: str
    episodes: int
    steps: int
    snapshot: int
    objective_sha256: str


def export_minari(
    store: SampleStore,
    out: Path,
    *,
    objective_sha256: str | None = None,
    where: str | None = None,
    snapshot: int | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> MinariExport:
    """Write the rewarded molecules of a store as a data set of Minari.

    Args:
        store: the store.
        out: a new folder; ``minari.MinariDataset(out / "data")`` loads it.
        objective_sha256: the objective of the rewards; None is the only objective that the store has rewards of.
        where: an SQL condition on ``sample_history``.
        snapshot: the snapshot; None is the newest.
        progress: called with the number of molecules written so far and the number of all.

    Raises:
        MissingExtraError: minari is not installed.
        ExportError: ``out`` exists, no molecule is to be exported, or the store has several objectives and none is
            named.
    """
    check_extra("an export to Minari", "minari", "minari", "h5py")
    version = store.snapshot() if snapshot is None else snapshot
    objective = objective_sha256 or _only_objective(store, version)
    index = store.index(IndexScope(objective_sha256=objective, snapshot=version, where=where))
    if not len(index):
        condition = "" if where is None else f" and fulfils {where}"
        raise ExportError(f"no kept molecule of {store.path} has a reward under {objective[:12]}{condition}")
    vocabulary = _vocabulary(store, index)
    index = expressible(index, vocabulary)
    dataset_id = _dataset_id(out)
    with new_folder(out) as folder:
        steps = _write(folder / "data", index, vocabulary, dataset_id, progress)
        _describe(
            folder=folder / "data",
            store=store,
            objective=objective,
            where=where,
            vocabulary=vocabulary,
        )
    return MinariExport(
        path=out, dataset_id=dataset_id, episodes=len(index), steps=steps, snapshot=version, objective_sha256=objective
    )


def _only_objective(store: SampleStore, snapshot: int) -> str:
    found = store.read_arrow(_OBJECTIVES, snapshot=snapshot)["objective_sha256"].to_pylist()
    if not found:
        raise ExportError(f"no molecule of {store.path} has a reward: there is nothing to export")
    if len(found) != 1:
        names = ", ".join(each[:12] for each in found)
        raise ExportError(
            f"{store.path} has rewards of several objectives, which cannot be compared: {names}. Name one of them; "
            "`molbuffer top` lists them"
        )
    return str(found[0])


def _vocabulary(store: SampleStore, index: HistoryIndex) -> Vocabulary:
    """Return the vocabulary that most rows have, read from a policy of the store."""
    positions = np.arange(len(index))
    counts = np.bincount(index.vocabulary_numbers(positions), minlength=len(index.vocabularies))
    wanted = index.vocabularies[int(counts.argmax())]
    for sha256 in store.policies.kept():
        # Latent priors and latent vectors are kept beside policies, and have no vocabulary.
        files = {file.name: file for file in store.policies.folder(sha256).iterdir()}
        if _VOCABULARY in files:
            found = Vocabulary.from_json(files[_VOCABULARY].read_text())
            if found.sha256 == wanted:
                return found
    raise ExportError(f"{store.path} keeps no policy with the vocabulary of its rows, {wanted[:12]}")


def _write(
    folder: Path,
    index: HistoryIndex,
    vocabulary: Vocabulary,
    dataset_id: str,
    progress: Callable[[int, int], None],
) -> int:
    """Write the episodes, and return the number of steps."""
    from gymnasium.spaces import Discrete
    from minari import __version__
    from minari.dataset.minari_storage import MinariStorage

    tokens = Discrete(len(vocabulary))
    storage = MinariStorage.new(folder, observation_space=tokens, action_space=tokens, data_format="hdf5")
    storage.update_metadata({"dataset_id": dataset_id, "minari_version": __version__})
    steps = 0
    for start in range(0, len(index), EPISODES_TOGETHER):
        positions = np.arange(start, min(start + EPISODES_TOGETHER, len(index)))
        episodes = _episodes(index, positions, vocabulary)
        storage.update_episodes(episodes)
        steps += sum(len(each.rewards) for each in episodes)
        progress(start + len(positions), len(index))
    return steps


def _episodes(index: HistoryIndex, positions: Positions, vocabulary: Vocabulary) -> list[Any]:
    from minari.data_collector.episode_buffer import EpisodeBuffer

    rows, smiles = stored_rows(index, positions, vocabulary), index.smiles(positions)
    found = []
    for row, molecule in enumerate(smiles):
        length = int(rows.lengths[row])
        actions = rows.tokens[row, :length].astype(np.int64)
        rewards = np.zeros(length)
        rewards[-1] = index.rewards[positions[row]]
        last = np.arange(length) == length - 1
        ends = bool(actions[-1] == END)
        found.append(
            EpisodeBuffer(
                options={"smiles": molecule or ""},
                observations=np.concatenate([[START], actions]),
                actions=actions,
                rewards=rewards,
                terminations=last & ends,
                truncations=last & (not ends),
                infos={"log_prob": np.concatenate([[np.nan], rows.log_probs[row, :length]]).astype(np.float32)},
            )
        )
    return found


def _dataset_id(out: Path) -> str:
    """Return the name of a data set in Minari, NAMESPACE/NAME-vN, made of the parent folder and the folder itself."""
    plain = [re.sub(r"[^A-Za-z0-9_-]", "-", name) or "data" for name in (out.absolute().parent.name, out.name)]
    if re.fullmatch(r".+-v\d+", plain[1]):
        return "/".join(plain)
    return f"{plain[0]}/{plain[1]}-v0"


def _describe(folder: Path, store: SampleStore, objective: str, where: str | None, vocabulary: Vocabulary) -> None:
    """Add a description of the episodes and the list of tokens to the metadata of a data set."""
    path = folder / "metadata.json"
    metadata = json.loads(path.read_text())
    condition = "" if where is None else f" that fulfil {where}"
    metadata |= {
        "algorithm_name": "molbuffer",
        "description": f"Molecules of the molbuffer store {store.uuid}{condition}: actions are the tokens of SMILES, "
        f"and the last step has the reward under the objective {objective}.",
        "tokens": list(vocabulary.tokens),
        "objective_sha256": objective,
        "author": sorted(metadata.get("author", [])),
    }
    path.write_text(json.dumps(metadata))
