"""Archives of strangers: whatever one holds, it is refused in words, and nothing outside is read or written."""

import gzip
import io
import json
import os
import re
import shutil
import sqlite3
import stat
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zarr
from zarr.codecs import Crc32cCodec, GzipCodec

from molbuffer.storage import SampleStore
from molbuffer.storage.archive.check_content import trusted_archive
from molbuffer.storage.archive.check_headers import wrong_arrays, zstd_content_bytes
from molbuffer.storage.archive.make import _settle, make_archive
from molbuffer.storage.archive.manifest import ArchiveLimits, write_checksums
from molbuffer.storage.archive.merge import merge_archive
from molbuffer.storage.archive.tar import unpacked
from molbuffer.storage.errors import ArchiveError, StoreError
from molbuffer.storage.layout import Layout
from molbuffer.storage.records import Commit, PolicyVersion
from molbuffer.storage.verify.verify import verify_store

OUTSIDE = b"a secret of the victim"


@pytest.fixture(scope="module")
def template(tmp_path_factory, make) -> Path:
    """A sound archive that can be changed: two builds of one segment, and a policy."""
    folder = tmp_path_factory.mktemp("template")
    with SampleStore.create(folder / "store") as store:
        store.start_run(make.make_run())
        sha256 = store.policies.add({"config.json": b"{}"})
        policy = PolicyVersion(sha256, "gru", run_id="run-1", weights_kept=True)
        for iteration in range(2):
            store.commit(Commit([make.make_build(iteration, policy_sha256=sha256)], policies=[policy]))
        make_archive(store, folder / "archive")
    _unlock(folder / "archive")
    return folder / "archive"


@pytest.fixture
def archive(template, tmp_path, monkeypatch) -> Path:
    """A copy of it, beside a file that no archive may reach."""
    monkeypatch.setenv("MOLBUFFER_CACHE", str(tmp_path / "cache"))
    (tmp_path / "outside").write_bytes(OUTSIDE)
    return shutil.copytree(template, tmp_path / "archive")


def _unlock(folder: Path) -> None:
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o700 if path.is_dir() else 0o600)


def signed(archive: Path) -> Path:
    """The archive with a list of checksums that is right: a stranger can make one."""
    (archive / "checksums.json").unlink(missing_ok=True)
    write_checksums(archive)
    return archive


def refused(archive: Path, match: str, limits: ArchiveLimits = ArchiveLimits()) -> None:
    """It cannot be merged, and the error is the store's own and says why."""
    with pytest.raises(StoreError, match=match), trusted_archive(archive, limits):
        pytest.fail("was trusted")
    assert (archive.parent / "outside").read_bytes() == OUTSIDE


def segment_of(archive: Path) -> Path:
    (segment,) = (archive / "arrays").iterdir()
    return segment


def test_the_template_itself_is_trusted(archive):
    with trusted_archive(signed(archive)) as (opened, manifest):
        assert manifest.rows == len(opened.query("FROM samples")) == 12


# Files


def test_a_wrong_checksum_is_refused_and_the_file_named(archive):
    chunk = segment_of(archive) / "lengths" / "c.0"
    chunk.write_bytes(bytes(len(chunk.read_bytes())))
    refused(archive, r"lengths/c\.0' is damaged")


@pytest.mark.parametrize("name", ["checksums.json", "archive.json", "store.toml", "catalog.sqlite"])
def test_links_are_refused(archive, name):
    (archive / name).rename(archive.parent / "elsewhere")
    (archive / name).symlink_to(archive.parent / "elsewhere")
    refused(archive, r"link")


def test_links_to_folders_are_refused_also_where_the_archive_is_only_queried(archive):
    tables = archive / "tables" / "main" / "samples"
    tables.rename(archive.parent / "samples")
    tables.symlink_to(archive.parent / "samples")
    refused(archive, "link or a device")
    with pytest.raises(ArchiveError, match="link or a device"):
        SampleStore.open(archive)
    (finding,) = verify_store(archive).errors
    assert "link or a device" in finding.message


@pytest.mark.parametrize("name", ["checksums.json", "archive.json", "tables/pipe"])
def test_pipes_are_not_read(archive, name):
    (archive / name).unlink(missing_ok=True)
    os.mkfifo(archive / name)
    refused(archive, "no plain file|link or a device")


@pytest.mark.parametrize("name", ["run.py", "catalog.sqlite-journal", "catalog.sqlite-wal", "policies/x.pkl"])
def test_files_that_no_archive_has_are_refused(archive, name):
    (archive / name).write_bytes(b"x")
    refused(signed(archive), "no archive has a file")
    if name.startswith("catalog"):
        with pytest.raises(ArchiveError, match="no archive has a file"):
            SampleStore.open(archive)


@pytest.mark.parametrize("name", ["/etc/passwd", "../outside", "arrays/../../outside", "tables/main/x/../../y.parquet"])
def test_a_list_that_names_a_file_outside_is_refused(archive, name):
    said = json.loads((archive / "checksums.json").read_text())
    said["files"][name] = {"bytes": len(OUTSIDE), "sha256": "0" * 64}
    (archive / "checksums.json").write_text(json.dumps(said))
    refused(archive, "no archive has a file")


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{}", b"{" * 100_000, b'{"format": "molbuffer-archive-1"}', b"\x80\x04K\x01."]
)
@pytest.mark.parametrize("name", ["checksums.json", "archive.json"])
def test_a_damaged_description_is_refused(archive, name, content):
    (archive / name).write_bytes(content)
    if name == "archive.json":
        signed(archive)
    refused(archive, rf"{name}")


def test_limits_hold_for_a_folder(archive):
    refused(signed(archive), "the limits are", ArchiveLimits(bytes=10_000))
    refused(archive, "the limits are", ArchiveLimits(files=5))
    refused(archive, "more than the limit of 100000 bytes|the limits are", ArchiveLimits(bytes=1_000))


# The catalog


def test_what_calls_itself_a_store_is_not_opened(archive, monkeypatch):
    text = (archive / "store.toml").read_text()
    (archive / "store.toml").write_text(text.replace("archive = true", "archive = false"))
    monkeypatch.setattr(SampleStore, "open", lambda *_, **__: pytest.fail("was opened"))
    refused(signed(archive), r"store\.toml is not that of the archive")


@pytest.mark.parametrize(
    ("sql", "match"),
    [
        ("UPDATE ducklake_data_file SET path = '../../../../outside'", "names the file"),
        ("UPDATE ducklake_data_file SET path = '/outside.parquet', path_is_relative = 0", "names the file"),
        ("UPDATE ducklake_data_file SET encryption_key = 'x'", "names the file"),
        ("UPDATE ducklake_table SET path = '/etc/'", "is at '/etc/'"),
        ("UPDATE ducklake_table SET table_name = 'other' WHERE table_name = 'scores'", "its tables are"),
        ("UPDATE ducklake_schema SET path = '../'", "its schemas are"),
        ("UPDATE ducklake_metadata SET value = 's3://bucket/' WHERE key = 'data_path'", "its data_path is"),
        ("UPDATE ducklake_metadata SET value = 'true' WHERE key = 'encrypted'", "its encrypted is"),
        ("CREATE TRIGGER t AFTER INSERT ON ducklake_table BEGIN DELETE FROM ducklake_table; END", "the trigger 't'"),
        ("CREATE VIEW v AS SELECT 1", "the view 'v'"),
        ("CREATE VIRTUAL TABLE v USING fts5(x)", "the table 'v'"),
        ("INSERT INTO ducklake_delete_file (data_file_id) VALUES (1)", "ducklake_delete_file has rows"),
        ("INSERT INTO ducklake_macro (macro_id) VALUES (1)", "ducklake_macro has rows"),
        ("INSERT INTO ducklake_inlined_data_tables (table_id) VALUES (1)", "ducklake_inlined_data_tables has rows"),
        ("UPDATE ducklake_view SET view_name = 'mine' WHERE view_name = 'lineage'", "a view 'mine'"),
        ("UPDATE ducklake_view SET sql = 'FROM read_text(''/etc/passwd'')'", "reads something else"),
        ("UPDATE ducklake_view SET sql = 'SELECT * FROM \"/etc/passwd.csv\"'", "reads something else"),
        ("UPDATE ducklake_view SET sql = 'SELECT (SELECT x FROM other.main.t)'", "reads something else"),
        ("UPDATE ducklake_view SET sql = 'DROP TABLE samples'", "reads something else"),
        ("DROP TABLE ducklake_data_file", "no such table"),
        ("PRAGMA journal_mode = WAL", "write-ahead mode"),
    ],
)
def test_a_catalog_that_molbuffer_would_not_write_is_not_used(archive, sql, match):
    catalog = sqlite3.connect(archive / "catalog.sqlite")
    with catalog:
        catalog.execute(sql)
    catalog.close()
    for name in ("catalog.sqlite-wal", "catalog.sqlite-shm"):
        (archive / name).unlink(missing_ok=True)
    refused(signed(archive), match)
    with pytest.raises(ArchiveError, match=match):
        SampleStore.open(archive, read_only=True)
    assert match.split("'")[0] in verify_store(archive).errors[0].message


def test_a_catalog_that_is_no_database_is_refused(archive):
    (archive / "catalog.sqlite").write_bytes(b"no database " * 100)
    refused(signed(archive), "no catalog of an archive")


# Rows


def forged(archive: Path, table: str, *rows: dict) -> Path:
    """The archive with rows more, by way of a store that it is made into for the time being."""
    description, said = archive / "store.toml", (archive / "store.toml").read_text()
    description.write_text(said.replace("archive = true", "archive = false"))
    (archive / "checksums.json").unlink()
    with SampleStore.open(archive) as store:
        for row in rows:
            first = store.read_arrow(f"SELECT * FROM {{{table}}} ORDER BY ALL LIMIT 1").to_pylist()
            whole = (first[0] if first else {}) | row
            store.catalog.transact("x", "x", {}, lambda t, whole=whole: t.insert(table, pa.Table.from_pylist([whole])))
        uuid = store.uuid
    _settle(Layout(archive), uuid)
    return signed(archive)


@pytest.mark.parametrize(
    ("table", "row", "match"),
    [
        ("samples", {"row": 5, "build_id": "x"}, "a row has no build"),
        ("samples", {"row": 77}, "a row has no build"),
        ("samples", {}, "it has a row twice"),
        ("rewards", {}, "two good rewards"),
        ("rewards", {"row": 1, "value": None}, "a reward is none"),
        ("rewards", {"row": 77}, "a reward has no row"),
        ("runs", {"run_id": "../../outside"}, "no run has the id"),
        ("runs", {"run_id": "r", "config": '{"x": 1}'}, "another configuration"),
        ("builds", {"build_id": "x", "segment": "../../outside"}, "not the one that its row in builds describes"),
        ("policies", {"sha256": "../outside", "weights_kept": True}, "has no weights"),
        ("checkpoints", {"run_id": "run-1", "iteration": 0, "folder": "/etc"}, "it has a checkpoint"),
        ("placements", {"build_id": "x", "generation": 1, "segment": "../x"}, "it has moved arrays"),
    ],
)
def test_rows_that_contradict_each_other_or_lead_out_are_refused(archive, table, row, match):
    refused(forged(archive, table, row), match)


def test_a_lineage_that_would_never_end_is_refused(archive):
    circle = [{"sha256": a, "parent_sha256": b, "weights_kept": False} for a, b in (("a", "b"), ("b", "a"))]
    refused(forged(archive, "policies", *circle), "descends from itself")


def test_a_parquet_file_of_more_rows_than_it_can_hold_is_not_read(archive):
    (path,) = (archive / "tables" / "main" / "rewards").iterdir()
    many = pa.table({"run_id": pa.DictionaryArray.from_arrays(np.zeros(2_000_000, np.int8), ["x"])})
    pq.write_table(many, path)
    assert path.stat().st_size < 100_000
    refused(signed(archive), "says that it has 2000000 rows")
    path.write_bytes(b"PAR1" + bytes(20) + b"PAR1")
    refused(signed(archive), "is no Parquet file")


# Policies


@pytest.mark.parametrize(
    ("name", "content", "match"),
    [
        ("model.pkl", b"\x80\x04K\x01.", "neither safetensors nor JSON"),
        ("weights.pt", b"PK\x03\x04", "neither safetensors nor JSON"),
        ("config.json", b"\x80\x04K\x01.", "is damaged"),
        ("config.json", b"[" * 200_000, "is damaged"),
        ("weights.safetensors", b"\xff" * 100, "is damaged"),
    ],
)
def test_nothing_that_executes_or_is_damaged_comes_in_as_a_policy(archive, name, content, match):
    (folder,) = (archive / "policies").iterdir()
    shutil.rmtree(folder)
    with SampleStore.create(archive.parent / "other") as other:
        sha256 = other.policies.add({name: content})
    shutil.copytree(archive.parent / "other" / "policies" / sha256, folder)
    refused(signed(archive), f"{match}|is damaged: its files hash")
    shutil.copytree(folder, archive / "policies" / sha256)
    shutil.rmtree(folder)
    refused(forged(archive, "policies", {"sha256": sha256, "weights_kept": True}), f"{match}|has no weights")


# Arrays


def rewrite(segment: Path, name: str, **changes: object) -> None:
    path = segment / name / "zarr.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def grid(*chunks: int) -> dict:
    return {"name": "regular", "configuration": {"chunk_shape": list(chunks)}}


ARRAY_LIES: dict[str, Callable[[Path], None]] = {
    "absurd shape": lambda s: rewrite(s, "tokens", shape=[12, 10**12]),
    "as many rows as never": lambda s: rewrite(s, "lengths", shape=[10**15], chunk_grid=grid(10**15)),
    "negative shape": lambda s: rewrite(s, "lengths", shape=[-12]),
    "a chunk larger than the array": lambda s: rewrite(s, "tokens", chunk_grid=grid(12, 10**9)),
    "other chunks": lambda s: rewrite(s, "lengths", chunk_grid=grid(1)),
    "no whole number": lambda s: rewrite(s, "lengths", shape=["12"]),
    "another type": lambda s: rewrite(s, "tokens", data_type="string"),
    "foreign codec": lambda s: rewrite(s, "tokens", codecs=[{"name": "bytes"}, {"name": "blosc"}]),
    "sharding": lambda s: rewrite(s, "tokens", codecs=[{"name": "sharding_indexed", "configuration": {}}]),
    "storage transformer": lambda s: rewrite(s, "tokens", storage_transformers=[{"name": "x"}]),
    "a group": lambda s: rewrite(s, "tokens", node_type="group"),
    "consolidated": lambda s: rewrite(s, ".", consolidated_metadata={"kind": "inline", "metadata": {}}),
    "array named outside": lambda s: rewrite(
        s, ".", attributes=json.loads((s / "zarr.json").read_text())["attributes"] | {"arrays": ["../../outside"]}
    ),
}


@pytest.mark.parametrize("lie", ARRAY_LIES.values(), ids=ARRAY_LIES)
def test_a_header_that_molbuffer_does_not_write_is_not_decoded(archive, lie, monkeypatch):
    lie(segment_of(archive))
    monkeypatch.setattr("molbuffer.storage.archive.check_content.read_segment", lambda *_: pytest.fail("was decoded"))
    refused(signed(archive), "has a header that molbuffer does not write")


def test_a_chunk_that_decodes_to_more_than_its_array_is_not_decoded(archive, monkeypatch):
    chunk = segment_of(archive) / "tokens" / "c.0.0"
    # A frame of one block of 2^40 bytes, which is all that a decoder would look at before it makes room.
    chunk.write_bytes(b"\x28\xb5\x2f\xfd\xe0" + (2**40).to_bytes(8, "little") + b"\x03\x00\x00x")
    monkeypatch.setattr("molbuffer.storage.archive.check_content.read_segment", lambda *_: pytest.fail("was decoded"))
    refused(signed(archive), rf"decodes to {2**40} bytes, expected 120")


@pytest.mark.parametrize("n", [0, 1, 255, 256, 300, 65_791, 65_792, 1_000_000])
def test_what_a_zstd_frame_says_of_its_size_is_read_as_it_was_written(n):
    from numcodecs import zstd

    assert zstd_content_bytes(zstd.compress(bytes(n))) == n


@pytest.mark.parametrize("frame", [b"", b"\x28\xb5\x2f\xfd", b"\x28\xb5\x2f\xfd\x00\x58", b"\x1f\x8b" * 9])
def test_a_frame_that_does_not_say_its_size_is_refused(frame):
    with pytest.raises(ValueError, match="a chunk"):
        zstd_content_bytes(frame)


def test_segments_that_are_not_those_of_the_builds_are_refused(archive):
    segment = segment_of(archive)
    shutil.copytree(segment, segment.with_name("f" * 32))
    refused(signed(archive), "is of no build")
    shutil.rmtree(segment)
    refused(signed(archive), "is missing|is of no build")


def test_gzip_in_place_of_zstd_is_not_decoded(archive):
    segment = segment_of(archive)
    shutil.rmtree(segment / "lengths")
    zarr.open_group(segment, mode="a", zarr_format=3).create_array(
        "lengths",
        data=np.ones(12, np.int32),
        chunks=(12,),
        compressors=[GzipCodec(), Crc32cCodec()],
        chunk_key_encoding={"name": "default", "separator": "."},
    )
    refused(signed(archive), "stored in another way")


# Tar files


def members(archive: Path) -> dict[str, bytes]:
    return {
        f"archive/{path.relative_to(archive).as_posix()}": path.read_bytes()
        for path in archive.rglob("*")
        if path.is_file()
    }


def packed(archive: Path, change: Callable[[tarfile.TarFile], None] = lambda _: None, **options: object) -> Path:
    """The archive as a tar file, to which something was added first."""
    out = archive.with_suffix(".tar")
    with tarfile.open(out, "w", **({"format": tarfile.USTAR_FORMAT} | options)) as tar:
        change(tar)
        for name, content in members(archive).items():
            add(tar, name, content)
    return out


def add(tar: tarfile.TarFile, name: str, content: bytes = b"", **fields: object) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for field, value in fields.items():
        setattr(info, field, value)
    tar.addfile(info, io.BytesIO(content) if info.isreg() else None)


def test_the_template_as_a_tar_file_is_trusted(archive):
    with trusted_archive(packed(signed(archive))) as (_, manifest):
        assert manifest.rows == 12


TAR_ATTACKS: dict[str, Callable[[tarfile.TarFile], None]] = {
    "parent": lambda tar: add(tar, "../outside", b"x"),
    "parent below": lambda tar: add(tar, "archive/../../outside", b"x"),
    "absolute": lambda tar: add(tar, "/tmp/outside", b"x"),
    "foreign name": lambda tar: add(tar, "archive/sitecustomize.py", b"x"),
    "odd characters": lambda tar: add(tar, "archive/tables/main/samples/a\nb.parquet", b"x"),
    "symbolic link": lambda tar: add(tar, "archive/store.toml", type=tarfile.SYMTYPE, linkname="/etc/passwd"),
    "link to a folder": lambda tar: add(tar, "archive/tables", type=tarfile.SYMTYPE, linkname="/tmp"),
    "hard link": lambda tar: add(tar, "archive/store.toml", type=tarfile.LNKTYPE, linkname="archive/archive.json"),
    "device": lambda tar: add(tar, "archive/store.toml", type=tarfile.CHRTYPE, devmajor=1, devminor=5),
    "pipe": lambda tar: add(tar, "archive/store.toml", type=tarfile.FIFOTYPE),
    "sparse": lambda tar: add(tar, "archive/store.toml", type=tarfile.GNUTYPE_SPARSE),
    "extended header": lambda tar: add(tar, "archive/x", b"30 path=archive/archive.json\n", type=tarfile.XHDTYPE),
    "global header": lambda tar: add(tar, "archive/x", b"", type=tarfile.XGLTYPE),
    "long name": lambda tar: add(tar, "archive/x", b"", type=tarfile.GNUTYPE_LONGNAME),
    "the same file twice": lambda tar: add(tar, "archive/store.toml", b"x"),
}


@pytest.mark.parametrize("attack", TAR_ATTACKS.values(), ids=TAR_ATTACKS)
def test_a_tar_file_with_anything_but_plain_files_of_an_archive_is_refused(archive, attack):
    before = set(archive.parent.iterdir())
    refused(packed(signed(archive), attack), "refused|no archive has a file|has the type")
    assert set(archive.parent.iterdir()) - before == {archive.with_suffix(".tar")}


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_long_names_of_other_tar_formats_are_refused(archive, form):
    refused(packed(signed(archive), lambda tar: add(tar, f"archive/{'x' * 300}", b"x"), format=form), "has the type")


def test_members_are_refused_by_the_size_they_declare_before_anything_is_written(archive, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "unpacking"))
    (tmp_path / "unpacking").mkdir()
    info = tarfile.TarInfo("archive/store.toml")
    for size, match in ((8**11 - 1, "the limits are"), (2**80, "the limits are"), (-5, "no archive has a file")):
        info.size = size
        (tmp_path / "a.tar").write_bytes(info.tobuf(tarfile.GNU_FORMAT) + bytes(2048))
        refused(tmp_path / "a.tar", match, ArchiveLimits(bytes=10**9))
        assert not list((tmp_path / "unpacking").iterdir())


def test_a_tar_file_is_not_unpacked_beyond_what_is_free(archive, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda _: shutil._ntuple_diskusage(10**6, 10**6, 1_000))
    refused(packed(signed(archive)), "what is free in the folder for temporary files, TMPDIR")


def test_a_decompression_bomb_is_stopped_at_the_limit(tmp_path):
    (tmp_path / "outside").write_bytes(OUTSIDE)
    info = tarfile.TarInfo("archive/catalog.sqlite")
    info.size = 50 << 20
    bomb = tmp_path / "bomb.tar.gz"
    with gzip.open(bomb, "wb", 9) as file:
        file.write(info.tobuf(tarfile.USTAR_FORMAT))
        file.write(bytes(50 << 20))
    assert bomb.stat().st_size < 100_000
    refused(bomb, "the limits are", ArchiveLimits(bytes=10 << 20))
    # Headers are no files, and yet not without end.
    folders = tarfile.TarInfo("archive/tables")
    folders.type = tarfile.DIRTYPE
    with gzip.open(bomb, "wb", 9) as file:
        file.write(folders.tobuf(tarfile.USTAR_FORMAT) * 2_000)
    refused(bomb, "the limits are", ArchiveLimits(files=1_000))


@pytest.mark.parametrize("content", [b"", b"\x1f\x8b", b"\x28\xb5\x2f\xfd\x00", os.urandom(3000), b"PK\x03\x04" * 300])
def test_a_file_that_is_no_tar_file_is_refused(tmp_path, content):
    (tmp_path / "a.tar.gz").write_bytes(content)
    with pytest.raises(ArchiveError, match=r"no archive|ends in the middle"), unpacked(tmp_path / "a.tar.gz"):
        pytest.fail("was unpacked")


def test_a_truncated_tar_file_is_refused(archive):
    tar = packed(signed(archive))
    os.truncate(tar, tar.stat().st_size // 2)
    refused(tar, "ends in the middle")


def test_what_is_unpacked_is_private_and_gone_afterwards(archive):
    tar = packed(signed(archive), lambda tar: add(tar, "archive/tables", type=tarfile.DIRTYPE, mode=0o777))
    with unpacked(tar) as folder:
        modes = {stat.S_IMODE(path.stat().st_mode) for path in (folder, *folder.rglob("*"))}
    assert modes == {0o600, 0o700}
    assert not folder.exists()


# Verification


def named(archive: Path, match: str, limits: ArchiveLimits = ArchiveLimits()) -> None:
    """Verifying it, as a folder and as a tar file, names what is wrong and opens nothing."""
    for path in (signed(archive), packed(archive)):
        report = verify_store(path, limits=limits)
        assert any(re.search(match, found.message) for found in report.errors), report.errors
        assert report.unchecked


def test_the_template_is_verified_in_each_form(archive):
    for path in (signed(archive), packed(archive)):
        report = verify_store(path)
        assert (report.errors, report.unchecked, report.checked["samples"]) == ((), (), 12)
        assert report.checked["rows of arrays"] == 12


def test_what_calls_itself_a_store_is_not_opened_to_be_verified(archive, monkeypatch):
    text = (archive / "store.toml").read_text().replace("archive = true", "archive = false")
    (archive / "store.toml").write_text(text.replace('"sqlite:catalog.sqlite"', '"postgres://nobody@127.0.0.1:9/lake"'))
    monkeypatch.setattr("molbuffer.storage.verify.verify.Catalog", lambda *_, **__: pytest.fail("was opened"))
    named(archive, r"store\.toml says that it is no archive")


@pytest.mark.parametrize("lie", ARRAY_LIES.values(), ids=ARRAY_LIES)
def test_what_would_not_end_is_not_decoded_to_be_verified(archive, lie, monkeypatch):
    lie(segment_of(archive))
    monkeypatch.setattr("molbuffer.storage.verify.segments.read_segment", lambda *_, **__: pytest.fail("was decoded"))
    named(archive, "has a header that molbuffer does not write")


def test_arrays_beyond_the_limit_are_not_decoded(archive):
    (tokens,) = archive.glob("arrays/*/tokens/zarr.json")
    rows, width = json.loads(tokens.read_text())["shape"]
    assert wrong_arrays(archive, rows * (width + 4 + 4 * width)) is None
    assert "more than the limit of" in str(wrong_arrays(archive, rows * (width + 4 + 4 * width) - 1))


@pytest.mark.parametrize(
    ("table", "row"),
    [
        ("builds", {"segment": "../../outside"}),
        ("policies", {"sha256": "../..", "weights_kept": True}),
        ("placements", {"build_id": "0", "segment": "/"}),
        ("checkpoints", {"run_id": "run-1", "folder": "checkpoints/x"}),
    ],
)
def test_names_that_lead_out_are_not_followed_to_be_verified(archive, table, row):
    named(forged(archive, table, row), f"no archive has .* in its table {table}")


@pytest.mark.parametrize("attack", TAR_ATTACKS.values(), ids=TAR_ATTACKS)
def test_a_hostile_tar_file_is_not_verified(archive, attack):
    with pytest.raises(ArchiveError, match=r"refused|no archive has a file|has the type"):
        verify_store(packed(signed(archive), attack))
    assert (archive.parent / "outside").read_bytes() == OUTSIDE


def test_a_store_is_as_it_was_after_a_hostile_archive_was_to_be_merged(archive, tmp_path, make):
    lie = ARRAY_LIES["absurd shape"]
    lie(segment_of(archive))
    with SampleStore.create(tmp_path / "store") as store:
        store.start_run(make.make_run())
        before = {path: path.read_bytes() for path in (tmp_path / "store").rglob("*.parquet")}, store.snapshot()
        with pytest.raises(ArchiveError), trusted_archive(signed(archive)) as (opened, _):
            merge_archive(store, opened)
        assert (
            {path: path.read_bytes() for path in (tmp_path / "store").rglob("*.parquet")},
            store.snapshot(),
        ) == before
        assert not list((tmp_path / "store" / "arrays").iterdir())
