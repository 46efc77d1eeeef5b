import stat
from concurrent.futures import ThreadPoolExecutor

import pytest

from molbuffer.storage.errors import PolicyDamagedError, UnknownPolicyError
from molbuffer.storage.policies import PolicyStore, content_sha256

FILES = {"weights.safetensors": b"\x00\x01" * 1000, "config.json": b"{}"}


@pytest.fixture
def policies(tmp_path):
    return PolicyStore(tmp_path)


def test_a_policy_is_named_by_its_content(policies, tmp_path):
    sha256 = policies.add(FILES)
    assert sha256 == content_sha256(dict(reversed(FILES.items()))) == policies.add(FILES)
    assert len(sha256) == 64
    assert {path.name: path.read_bytes() for path in policies.folder(sha256).iterdir()} == FILES
    assert stat.S_IMODE((policies.folder(sha256) / "config.json").stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == [sha256]


def test_a_policy_can_be_copied_from_files(policies, tmp_path):
    files = {name: tmp_path.with_name(f"{tmp_path.name}-{name}") for name in FILES}
    for name, path in files.items():
        path.write_bytes(FILES[name])
    sha256 = policies.add(files)
    assert sha256 == content_sha256(files) == content_sha256(FILES)
    assert {path.name: path.read_bytes() for path in policies.folder(sha256).iterdir()} == FILES


@pytest.mark.parametrize(
    "other",
    [
        FILES | {"config.json": b"{ }"},
        FILES | {"more.json": b""},
        {"config.json": b"{}"},
        {"a": b"b\0c"},
        {"a\0b": b"c"},
    ],
)
def test_other_names_or_contents_are_another_policy(other):
    assert content_sha256(other) != content_sha256(FILES)


def test_a_policy_resolves_by_a_unique_prefix(policies):
    added = sorted(policies.add({"seed.json": str(seed).encode()}) for seed in range(40))
    assert policies.kept() == added
    assert policies.resolve(added[0]) == added[0]
    alone = next(sha for sha in added if sum(other[:4] == sha[:4] for other in added) == 1)
    assert policies.resolve(alone[:4]) == alone
    for prefix in ("", "not hexadecimal"):
        with pytest.raises(UnknownPolicyError):
            policies.resolve(prefix)


def test_a_damaged_policy_is_noticed_when_it_is_read(policies):
    folder = policies.folder(policies.add(FILES))
    (folder / "weights.safetensors").write_bytes(FILES["weights.safetensors"][:-1])
    with pytest.raises(PolicyDamagedError, match=folder.name):
        policies.folder(folder.name)
    (folder / "weights.safetensors").write_bytes(FILES["weights.safetensors"])
    (folder / "extra").touch()
    with pytest.raises(PolicyDamagedError):
        policies.folder(folder.name)


@pytest.mark.parametrize("sha256", ["0" * 64, "", ".", "..", "../policies"])
def test_an_unknown_policy_is_said_to_be_unknown(policies, sha256):
    with pytest.raises(UnknownPolicyError):
        policies.folder(sha256)


@pytest.mark.parametrize("files", [{}, {"../config.json": b""}, {"a/b": b""}, {"": b""}, {".": b""}])
def test_only_plain_file_names_are_stored(policies, tmp_path, files):
    with pytest.raises(ValueError, match="name"):
        policies.add(files)
    assert list(tmp_path.iterdir()) == []


def test_threads_that_add_one_policy_share_it(policies, tmp_path):
    with ThreadPoolExecutor(8) as pool:
        added = set(pool.map(lambda _: policies.add(FILES), range(16)))
    assert [path.name for path in tmp_path.iterdir()] == list(added)
