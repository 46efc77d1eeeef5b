"""Archives of strangers: whatever one holds, it is refused in words, and nothing outside is read or written."""

import gzip
import hashlib
import io
import json
import os
import re
import shutil
import socket
import stat
import subprocess
import sys
import tarfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zarr
from zarr.codecs import Crc32cCodec, GzipCodec

from molbuffer.storage import SampleStore
from molbuffer.storage.archive.check_headers import wrong_arrays, zstd_content_bytes
from molbuffer.storage.archive.files import listed_files
from molbuffer.storage.archive.manifest import ArchiveLimits
from molbuffer.storage.archive.tar import unpacked
from molbuffer.storage.errors import ArchiveError, StoreError
from molbuffer.storage.errors import ArchiveFault as Fault
from molbuffer.storage.records import Commit, PolicyVersion
from molbuffer.storage.trusted import trusted_archive
from molbuffer.storage.verify.report import FindingKind
from molbuffer.storage.verify.verify import verify_store

OUTSIDE = b"a secret of the victim"
MANIFEST = r"archive/archive\.json"
SAMPLES = r"tables/samples/00000\.parquet"
"""Names that errors about the manifest, and about the rows, have."""


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
        store.archive(folder / "archive")
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


def signed(archive: Path, **changes: object) -> Path:
    """The archive with a manifest that is right, as a stranger can make one, but for what is changed in it."""
    said = json.loads((archive / "archive.json").read_text())
    said["files"] = {name: vars(file) for name, file in listed_files(archive).items()}
    for path in archive.glob("tables/*/*.parquet"):
        try:
            said["tables"][path.parent.name] = pq.read_metadata(path).num_rows
        except (pa.ArrowException, OSError):
            continue
    said["rows"], said["builds"] = said["tables"]["samples"], said["tables"]["builds"]
    (archive / "archive.json").write_text(json.dumps(said | changes))
    return archive


def refused(
    archive: Path, faults: Fault | Sequence[Fault], match: str | None = None, limits: ArchiveLimits = ArchiveLimits()
) -> None:
    """It cannot be merged, and the error is the store's own, tells the fault, and names what is wrong."""
    with pytest.raises(ArchiveError, match=match) as caught, trusted_archive(archive, limits):
        pytest.fail("was trusted")
    assert caught.value.fault in _each(faults)
    assert (archive.parent / "outside").read_bytes() == OUTSIDE


def refused_in_each_way(archive: Path, faults: Fault | Sequence[Fault], match: str) -> None:
    """It cannot be merged, opened or, but for saying what is wrong, verified."""
    refused(archive, faults, match)
    with pytest.raises(ArchiveError, match=match) as caught:
        SampleStore.open(archive, read_only=True)
    assert caught.value.fault in _each(faults)
    report = verify_store(archive)
    assert report.errors[0].kind is FindingKind.ARCHIVE
    assert report.errors[0].fault in _each(faults)
    assert re.search(match, report.errors[0].message)
    assert report.unchecked
    assert "samples" not in report.checked


def _each(faults: Fault | Sequence[Fault]) -> Sequence[Fault]:
    return (faults,) if isinstance(faults, Fault) else faults


def segment_of(archive: Path) -> Path:
    (segment,) = (archive / "arrays").iterdir()
    return segment


def parquet_of(archive: Path, table: str) -> Path:
    (path,) = (archive / "tables" / table).iterdir()
    return path


def test_the_template_itself_is_trusted(archive):
    with trusted_archive(signed(archive)) as (opened, manifest):
        assert manifest.rows == len(opened.query("FROM samples")) == 12


# Files


def test_a_wrong_checksum_is_refused_and_the_file_named(archive):
    chunk = segment_of(archive) / "lengths" / "c.0"
    chunk.write_bytes(bytes(len(chunk.read_bytes())))
    refused(archive, (Fault.CHECKSUM, Fault.SIZE), r"lengths/c\.0'")
    chunk.write_bytes(b"")
    refused(archive, Fault.SIZE, r"lengths/c\.0'")


KINDS: dict[str, Callable[[Path], Path]] = {
    "the manifest": lambda archive: archive / "archive.json",
    "a table": lambda archive: parquet_of(archive, "samples"),
    "a header of arrays": lambda archive: segment_of(archive) / "zarr.json",
    "a chunk": lambda archive: segment_of(archive) / "tokens" / "c.0.0",
    "a policy": lambda archive: next((archive / "policies").glob("*/config.json")),
    "a folder": lambda archive: archive / "tables" / "samples",
    "a file more": lambda archive: archive / "tables" / "more",
}


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        # Its path must be short.
        folder = os.open(path.parent, os.O_RDONLY)
        made.bind(f"/proc/self/fd/{folder}/{path.name}")
        os.close(folder)


def _device(path: Path) -> None:
    try:
        os.mknod(path, 0o600 | stat.S_IFCHR, os.makedev(1, 5))
    except PermissionError:
        pytest.skip("no device can be made here")


ODD: dict[str, Callable[[Path], None]] = {
    "link to /dev/zero": lambda path: path.symlink_to("/dev/zero"),
    "link to a file": lambda path: path.symlink_to("/etc/passwd"),
    "pipe": os.mkfifo,
    "socket": _socket,
    "device": _device,
}


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_what_is_no_plain_file_is_not_opened(archive, kind, odd):
    path = kind(archive)
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    odd(path)
    refused_in_each_way(archive, Fault.NOT_PLAIN, re.escape(path.relative_to(archive).as_posix()))


def test_a_link_to_a_sound_file_is_refused_too(archive):
    path = archive / "archive.json"
    path.rename(archive.parent / "elsewhere")
    path.symlink_to(archive.parent / "elsewhere")
    refused_in_each_way(archive, Fault.NOT_PLAIN, MANIFEST)


@pytest.mark.parametrize("name", ["run.py", "policies/x.pkl", "tables/samples/00001.parquet", "tables/samples.parquet"])
def test_files_that_are_not_listed_are_refused(archive, name):
    (archive / name).write_bytes(b"x")
    refused(archive, Fault.UNLISTED_FILE, re.escape(name))
    with pytest.raises(ArchiveError, match=re.escape(name)) as caught:
        SampleStore.open(archive)
    assert caught.value.fault is Fault.UNLISTED_FILE
    assert (name, Fault.UNLISTED_FILE) in {(finding.path, finding.fault) for finding in verify_store(archive).errors}


def test_a_file_that_is_missing_is_refused(archive):
    parquet_of(archive, "samples").unlink()
    refused(archive, Fault.MISSING_FILE, SAMPLES)


def test_limits_hold_for_a_folder(archive):
    refused(signed(archive), Fault.TOO_LARGE, limits=ArchiveLimits(bytes=10_000))
    refused(archive, Fault.TOO_LARGE, limits=ArchiveLimits(files=5))
    # Folders are no files, and yet not without end.
    for number in range(100):
        (archive / "tables" / str(number)).mkdir()
    refused(archive, Fault.TOO_LARGE, limits=ArchiveLimits(files=30))


# The manifest


NONSENSE = [
    b"", b"{" * 100_000, b"[" * 100_000, b"\x80\x04K\x01.", b"\xff\xfe{}", b'{"a": 1} {}',
]  # fmt: skip
FOREIGN = [
    b"[]", b"{}", b"null",
    b'{"format": "molbuffer-archive", "version": 2}', b'{"format": "molbuffer-archive", "version": "2"}',
    b'{"format": "another"}', b'{"format": ["molbuffer-archive"], "version": 2}', b'{"version": 2}',
]  # fmt: skip


@pytest.mark.parametrize(
    ("fault", "content"),
    [
        *((Fault.MANIFEST_SYNTAX, content) for content in NONSENSE),
        *((Fault.MANIFEST_VALUE, content) for content in FOREIGN),
    ],
)
def test_a_manifest_that_is_none_is_refused(archive, fault, content):
    (archive / "archive.json").write_bytes(content)
    refused_in_each_way(archive, fault, MANIFEST)


WRONG_FIELDS: dict[str, object] = {
    "uuid": "../../outside", "source_uuid": 7, "snapshot": -1, "schema": None, "runs": ["x", 1], "where": [],
    "rows": "12", "builds": True, "tables": {"samples": "12"}, "molbuffer": "x" * 1_000, "created": "yesterday",
    "files": [], "more": 1,
}  # fmt: skip


@pytest.mark.parametrize(("name", "value"), WRONG_FIELDS.items(), ids=WRONG_FIELDS)
def test_a_field_of_another_type_or_form_is_refused(archive, name, value):
    refused_in_each_way(signed(archive, **{name: value}), Fault.MANIFEST_VALUE, MANIFEST)


@pytest.mark.parametrize(
    ("fault", "number"),
    [
        *((Fault.MANIFEST_SYNTAX, number) for number in ("1e999", "-1e999", "NaN", "Infinity", "1.5", "12.0", "2e1")),
        *((Fault.MANIFEST_SYNTAX, "9" * digits) for digits in (400, 5000)),
        *((Fault.MANIFEST_VALUE, number) for number in ("-1", '"1"')),
    ],
)
@pytest.mark.parametrize("place", ['"snapshot": ', '"bytes": '])
def test_unusual_numbers_are_refused(archive, place, fault, number):
    text = (archive / "archive.json").read_text()
    (archive / "archive.json").write_text(re.sub(rf"{place}\d+", place + number, text, count=1))
    refused_in_each_way(archive, fault, MANIFEST)


def test_a_key_twice_is_refused(archive):
    text = (archive / "archive.json").read_text()
    (archive / "archive.json").write_text(text.replace('"snapshot": ', '"snapshot": 1, "snapshot": '))
    refused_in_each_way(archive, Fault.MANIFEST_SYNTAX, MANIFEST)


@pytest.mark.parametrize(
    "name",
    [
        "/etc/passwd", "../outside", "arrays/../../outside", "tables/samples/../../outside", "archive.json",
        "tables/samples/00000.parquet\0", "tables\\samples\\00000.parquet", "tables/sqlite_master/00000.parquet",
        "tables/samples/0.parquet",
        "policies/../outside", f"policies/{'a' * 64}/..", f"policies/{'a' * 64}/x/y", "checkpoints/run/x",
        "tables/samples/٠٠٠٠٠.parquet", "C:/outside", "",
    ],
)  # fmt: skip
def test_a_manifest_that_names_another_file_is_refused(archive, name):
    said = json.loads((archive / "archive.json").read_text())
    said["files"][name] = {"bytes": len(OUTSIDE), "sha256": "0" * 64}
    (archive / "archive.json").write_text(json.dumps(said))
    refused_in_each_way(archive, Fault.NAME, MANIFEST)


@pytest.mark.parametrize(
    "file", [None, [], {"bytes": 1}, {"bytes": 1, "sha256": "x"}, {"bytes": -1, "sha256": "0" * 64}]
)
def test_a_file_that_is_described_in_another_way_is_refused(archive, file):
    said = json.loads((archive / "archive.json").read_text())
    said["files"][next(iter(said["files"]))] = file
    (archive / "archive.json").write_text(json.dumps(said))
    refused_in_each_way(archive, Fault.MANIFEST_VALUE, MANIFEST)


def test_names_that_differ_in_case_only_are_refused(archive):
    folder = next((archive / "policies").iterdir())
    (folder / "Config.json").write_bytes(b"{}")
    refused_in_each_way(signed(archive), Fault.NAME, MANIFEST)


def test_an_archive_of_a_newer_release_says_so(archive):
    refused_in_each_way(signed(archive, version=3), Fault.NEWER_RELEASE, "version 3")
    refused_in_each_way(signed(archive, version=2, schema=99), Fault.NEWER_RELEASE, "schema 99")


def test_an_archive_of_the_first_form_says_what_to_do(archive, tmp_path):
    advice = re.escape(str(archive))
    (archive / "catalog.sqlite").write_bytes(b"SQLite format 3")
    refused_in_each_way(archive, Fault.OLDER_FORM, advice)
    refused(packed(archive), Fault.OLDER_FORM, advice)
    (archive / "catalog.sqlite").unlink()
    (archive / "store.toml").write_text("archive = true\n")
    refused_in_each_way(archive, Fault.OLDER_FORM, advice)
    (archive / "archive.json").write_text('{"format": "molbuffer-archive-1", "uuid": "x"}')
    refused_in_each_way(archive, Fault.OLDER_FORM, advice)


def test_what_is_a_store_as_well_is_not_opened_as_one(archive):
    with SampleStore.create(archive.parent / "store") as store:
        text = (store.path / "store.toml").read_text()
    (archive / "store.toml").write_text(text)
    refused_in_each_way(archive, Fault.OLDER_FORM, re.escape(str(archive)))


# Tables


def read_rows(path: Path) -> pa.Table:
    with pq.ParquetFile(path) as file:
        return file.read()


def changed(archive: Path, table: str, change: Callable[[pa.Table], pa.Table], **options: object) -> Path:
    """The archive with other rows in a table."""
    path = parquet_of(archive, table)
    pq.write_table(change(read_rows(path)), path, **options)
    return signed(archive)


def forged(archive: Path, table: str, *rows: dict) -> Path:
    """The archive with rows more: the first of the table, with some values of others."""
    folder = archive / "tables" / table
    if not folder.exists():
        raise ValueError(f"the archive has no {table}")

    def more(whole: pa.Table) -> pa.Table:
        first = whole.slice(0, 1).to_pylist()[0]
        return pa.concat_tables([whole, pa.Table.from_pylist([first | row for row in rows], schema=whole.schema)])

    return changed(archive, table, more)


INJECTIONS = [
    "smiles\" FROM read_text('{outside}') --",
    "smiles') FROM read_text('{outside}') --",
    "smiles, (SELECT content FROM read_text('{outside}')) AS x",
    "COPY (SELECT 1) TO '{outside}'",
    "smiles; COPY (SELECT 1) TO '{outside}'; --",
    "SMILES",
    "",
    "x\0y",
]


@pytest.mark.parametrize("name", INJECTIONS)
def test_a_column_with_another_name_is_refused(archive, name):
    name = name.format(outside=archive.parent / "outside")

    def renamed(whole: pa.Table) -> pa.Table:
        return whole.rename_columns([name if column == "smiles" else column for column in whole.column_names])

    refused_in_each_way(changed(archive, "samples", renamed), Fault.SCHEMA, SAMPLES)
    refused_in_each_way(
        changed(archive, "samples", lambda whole: whole.append_column("smiles", whole[name])), Fault.SCHEMA, SAMPLES
    )


def test_values_like_sql_are_values(archive):
    text = f"'; COPY (SELECT 1) TO '{archive.parent / 'outside'}'; --"

    def quoted(whole: pa.Table) -> pa.Table:
        at = whole.column_names.index("smiles")
        return whole.set_column(
            at, "smiles", pa.array([text if smiles else None for smiles in whole["smiles"].to_pylist()])
        )

    with trusted_archive(changed(archive, "samples", quoted)) as (opened, _):
        assert set(opened.query("FROM samples")["smiles"]) == {text, None}
        with SampleStore.create(archive.parent / "home") as home:
            assert home.merge(opened).rows == 12
            assert home.verify().errors == ()
    assert (archive.parent / "outside").read_bytes() == OUTSIDE


OTHER_TYPES: dict[str, pa.Array] = {
    "numbers": pa.array(range(12)),
    "bytes": pa.array([b"C"] * 12),
    "a list": pa.array([["C"]] * 12),
    "a record": pa.array([{"smiles": "C"}] * 12),
    "a map": pa.array([[("a", "C")]] * 12, pa.map_(pa.string(), pa.string())),
    "another name in it": pa.array([{"x": {"y": {"z": "C"}}}] * 12),
}


@pytest.mark.parametrize("values", OTHER_TYPES.values(), ids=OTHER_TYPES)
def test_a_column_of_another_type_is_refused(archive, values):
    def typed(whole: pa.Table) -> pa.Table:
        return whole.set_column(whole.column_names.index("smiles"), "smiles", values)

    refused_in_each_way(changed(archive, "samples", typed), Fault.SCHEMA, SAMPLES)


def test_a_missing_column_and_one_twice_are_refused(archive):
    whole = read_rows(parquet_of(archive, "samples"))
    refused_in_each_way(changed(archive, "samples", lambda _: whole.drop_columns("kept")), Fault.SCHEMA, SAMPLES)
    refused_in_each_way(
        changed(archive, "samples", lambda _: whole.append_column("kept", whole["kept"])), Fault.SCHEMA, SAMPLES
    )
    refused_in_each_way(
        changed(archive, "samples", lambda _: whole.append_column("kept", whole["kept"]).drop_columns("raw")),
        Fault.SCHEMA,
        SAMPLES,
    )


def test_what_arrow_remembers_of_its_types_is_not_heeded(archive):
    """A Parquet file can say that a column is of a type of some library, which would be asked to make it."""
    odd = pa.field("smiles", pa.string(), metadata={"ARROW:extension:name": "arrow.py_extension_type",
                                                   "ARROW:extension:metadata": b"\x80\x04K\x01."})  # fmt: skip

    def extended(whole: pa.Table) -> pa.Table:
        schema = whole.schema.set(whole.column_names.index("smiles"), odd)
        return pa.table(whole.columns, schema=schema)

    with trusted_archive(changed(archive, "samples", extended)) as (opened, _):
        assert len(opened.query("FROM samples")) == 12


@pytest.mark.parametrize(
    "content", [b"", b"PAR1", b"PAR1" + bytes(20) + b"PAR1", b"PARE" * 10, b"PAR1\xff\xff\xff\x7fPAR1"]
)
def test_a_file_that_is_no_parquet_file_is_refused(archive, content):
    parquet_of(archive, "rewards").write_bytes(content)
    refused_in_each_way(signed(archive), (Fault.PARQUET, Fault.SCHEMA), re.escape(str(archive)))


def test_an_encrypted_table_is_refused(archive):
    from pyarrow.parquet import encryption

    class Wrapping(encryption.KmsClient):
        def wrap_key(self, key, _):
            return key

        def unwrap_key(self, key, _):
            return key

    factory = encryption.CryptoFactory(lambda _: Wrapping())
    for plain_end in (False, True):
        named = {"footer_key": "f", "column_keys": {"c": ["smiles"]}, "plaintext_footer": plain_end}
        properties = factory.file_encryption_properties(
            encryption.KmsConnectionConfig(), encryption.EncryptionConfiguration(**named)
        )
        copy = shutil.copytree(archive, archive.parent / f"encrypted-{plain_end}")
        refused(
            changed(copy, "samples", lambda whole: whole, encryption_properties=properties),
            (Fault.PARQUET, Fault.MEMORY),
            re.escape(str(copy)),
        )


def test_a_table_of_other_rows_than_it_says_is_refused(archive):
    said = json.loads((archive / "archive.json").read_text())
    refused_in_each_way(signed(archive, tables=said["tables"] | {"samples": 13}), Fault.ROWS, "samples has 12 .* 13")
    refused_in_each_way(signed(archive, tables=said["tables"] | {"consumed": 1}), Fault.ROWS, "consumed has 0 .* 1")
    refused(signed(archive, rows=13, tables=said["tables"]), Fault.ROWS, "13 and 2")


@pytest.mark.parametrize(("rows", "group"), [(8_000_000, 8_000_000), (10_000_000, 1_000_000)])
def test_more_rows_than_a_file_of_its_size_can_have_are_refused(archive, rows, group):
    def nothing(whole: pa.Table) -> pa.Table:
        return pa.table([pa.nulls(rows, field.type) for field in whole.schema], schema=whole.schema)

    changed(archive, "rewards", nothing, row_group_size=group)
    assert parquet_of(archive, "rewards").stat().st_size < 200_000
    refused(archive, (Fault.MEMORY, Fault.CONTENT), "reward")


def test_a_changed_byte_is_an_error_in_words_or_nothing(archive):
    path = parquet_of(archive, "samples")
    sound = path.read_bytes()
    rng = np.random.default_rng(7)
    # The end has the sizes and types, which decide what a reader makes room for.
    for place in (*rng.integers(0, len(sound), 6), *rng.integers(len(sound) - 1500, len(sound), 14)):
        damaged = bytearray(sound)
        damaged[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        try:
            with SampleStore.open(signed(archive)) as opened:
                opened.read_arrow("FROM {samples}")
        except StoreError:
            continue


def test_a_column_that_cannot_be_decoded_is_found_before_a_row_is_read(archive):
    """Also one that no check looks at, such as the value of a metric."""
    path = parquet_of(archive, "metrics")
    pq.write_table(read_rows(path), path, compression="zstd", use_dictionary=False)
    group = pq.read_metadata(path).row_group(0)
    (column,) = [each for at in range(group.num_columns) if (each := group.column(at)).path_in_schema == "value"]
    content, start = bytearray(path.read_bytes()), column.data_page_offset
    content[start : start + 9] = bytes(255 - byte for byte in content[start : start + 9])
    path.write_bytes(content)
    refused(signed(archive), Fault.MEMORY, "cannot be decoded")


@pytest.mark.parametrize(("row", "stated"), [(-7, 0), (2**30, 5)])
def test_what_a_file_states_of_its_extremes_is_not_believed(archive, row, stated):
    """DuckDB would take a condition on the rows for true of all of them, and the row would not be seen."""
    path = parquet_of(forged(archive, "samples", {"row": row}), "samples")
    content = path.read_bytes()
    end = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    said, lie = row.to_bytes(4, "little", signed=True), stated.to_bytes(4, "little")
    assert content[end:].count(said) == 2
    path.write_bytes(content[:end] + content[end:].replace(said, lie))
    refused(signed(archive), Fault.CONTENT, f"a row has no build .* row {row}")
    report = verify_store(archive)
    assert f"row {row}" in report.errors[0].message


MEMORY = """
import json, re, resource, sys
from pathlib import Path
from molbuffer.storage import SampleStore
from molbuffer.storage.trusted import trusted_archive
from molbuffer.storage.errors import ArchiveError
from molbuffer.storage.query import process
from molbuffer.storage.verify.verify import verify_store
told = []
for path in map(Path, sys.argv[1:]):
    report = verify_store(path)
    try:
        with trusted_archive(path) as (archive, _), SampleStore.create(path.with_name("home")) as store:
            store.merge(archive)
    except ArchiveError as error:
        told.append([[found.fault for found in report.errors], error.fault, str(error)])
# The peak of this process and of no one before it: ru_maxrss begins with that of its parent.
taken = int(re.search(r"VmHWM:\\s*(\\d+)", Path("/proc/self/status").read_text())[1])
for worker in [worker for workers in process._idle.values() for worker in workers]:
    worker.close()
print(json.dumps([told, taken / 1e6, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6]))
"""


def gigabytes_taken(archives: Mapping[Path, Sequence[Fault]]) -> tuple[float, float]:
    """What a process takes that verifies archives and refuses to merge them, and the largest of those it starts.

    Args:
        archives: each with the faults of which it has one.
    """
    command = [sys.executable, "-c", MEMORY, *map(str, archives)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    told, taken, by_others = json.loads(done.stdout)
    assert len(told) == len(archives)
    for (archive, faults), (found, fault, error) in zip(archives.items(), told, strict=True):
        assert {fault, *found} <= {*faults}
        assert str(archive) in error
        assert not archive.with_name("home").exists()
    return taken, by_others


def bomb(archive: Path, table: str, column: str, length: int, rows: int) -> Path:
    """The archive with a table in which many rows name one long text, which the file has once."""
    path = parquet_of(archive, table)
    first = read_rows(path).slice(0, 1)
    fields = [field.with_type(pa.dictionary(pa.int32(), pa.string())) if field.name == column else field
              for field in first.schema]  # fmt: skip
    columns = [
        pa.DictionaryArray.from_arrays(np.zeros(rows, np.int32), pa.array(["C" * length]))
        if field.name == column
        else first[field.name].take(pa.array(np.zeros(rows, np.int32)))
        for field in fields
    ]
    pq.write_table(pa.table(columns, schema=pa.schema(fields)), path, compression="zstd", store_schema=False)
    return signed(archive)


ONLY_LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux says what a process takes")
BOMBS = {"samples": "smiles", "runs": "config", "builds": "sampler"}
GIANTS = {
    "deep": b"[" * (60 << 20),
    "wide": b"[]," * (20 << 20),
    "deep keys": b'{"a":' * (10 << 20),
    "large": b" " * (65 << 20),
    "numbers": b"1," * (30 << 20),
}


@ONLY_LINUX
def test_dictionary_bombs_take_a_bounded_memory(archive):
    copies = {table: shutil.copytree(archive, archive.with_name(f"bomb of {table}")) for table in BOMBS}
    for table, copy in copies.items():
        bomb(copy, table, BOMBS[table], 1_000_000, 7_000)
        assert parquet_of(copy, table).stat().st_size < 60_000
    taken, by_others = gigabytes_taken(dict.fromkeys(copies.values(), (Fault.MEMORY,)))
    assert taken < 0.8
    assert by_others < 2


@ONLY_LINUX
def test_giant_manifests_take_a_bounded_memory(archive):
    copies = {name: shutil.copytree(archive, archive.with_name(name)) for name in GIANTS}
    for name, copy in copies.items():
        (copy / "archive.json").write_bytes(GIANTS[name])
    faults = {copy: (Fault.MANIFEST_SYNTAX,) for name, copy in copies.items()} | {copies["large"]: (Fault.TOO_LARGE,)}
    taken, _ = gigabytes_taken(faults)
    assert taken < 0.8


def test_a_table_of_many_equal_rows_is_read_in_portions_that_fit(archive):
    def long(whole: pa.Table) -> pa.Table:
        at = whole.column_names.index("raw")
        return whole.set_column(at, "raw", pa.array(["C" * 7_000_000] * whole.num_rows))

    with SampleStore.open(changed(archive, "samples", long)) as opened:
        sizes = [batch.num_rows for batch in opened.read_batches("SELECT raw FROM {samples}")]
        assert (sum(sizes), max(sizes) <= 9) == (12, True)


# Rows

DEEP = '{"x":' + "[" * 100_000 + "]" * 100_000 + "}"
FAR = np.datetime64(2**62, "us")
DEEP_SHA256 = hashlib.sha256(DEEP.encode()).hexdigest()


@pytest.mark.parametrize(
    ("table", "row", "fault", "match"),
    [
        ("samples", {"row": 5, "build_id": "x"}, Fault.CONTENT, "x row 5"),
        ("samples", {"row": 77}, Fault.CONTENT, "row 77"),
        ("samples", {}, Fault.CONTENT, "row 0"),
        ("rewards", {}, Fault.CONTENT, "row 0"),
        ("rewards", {"row": 1, "value": None}, Fault.CONTENT, "row 1"),
        ("rewards", {"row": 1, "value": float("nan")}, Fault.CONTENT, "row 1"),
        ("rewards", {"row": 1, "value": float("inf")}, Fault.CONTENT, "row 1"),
        ("rewards", {"row": 1, "value": 1.0, "status": "failed"}, Fault.CONTENT, "row 1"),
        ("rewards", {"row": 1, "value": 1.0, "status": None}, Fault.CONTENT, "row 1"),
        ("rewards", {"row": 77}, Fault.CONTENT, "row 77"),
        ("runs", {"run_id": "../../outside"}, Fault.NAME, "'../../outside'"),
        ("runs", {"run_id": None}, Fault.NAME, "None"),
        ("runs", {"run_id": "r", "config": '{"x": 1}'}, Fault.CONTENT, r"\(r\)"),
        ("runs", {"run_id": "r", "kind": None}, Fault.CONTENT, r"\(r\)"),
        ("runs", {"run_id": "r", "libraries": "[" * 100_000}, Fault.NAME, "libraries .*'r'"),
        ("runs", {"run_id": "r", "selection": '{"x": 1e999}'}, Fault.NAME, "selection .*'r'"),
        ("runs", {"run_id": "r", "created": FAR}, Fault.CONTENT, 'time "created" of runs'),
        ("builds", {"build_id": "x", "ended": FAR}, Fault.CONTENT, 'time "ended" of builds'),
        ("runs", {}, Fault.CONTENT, r"a run twice \(run-1\)"),
        ("runs", {"run_id": "r", "config": DEEP, "config_sha256": DEEP_SHA256}, Fault.NAME, "config .*'r'"),
        ("run_events", {"status": "x"}, Fault.CONTENT, r"\(run-1\)"),
        ("builds", {}, Fault.CONTENT, "a build twice"),
        ("builds", {"build_id": "x", "segment": "../../outside"}, Fault.NAME, "'x'"),
        ("builds", {"build_id": "x", "event": None}, Fault.CONTENT, r"\(x\)"),
        ("builds", {"build_id": "x", "drawn": 2**62, "segment_offset": 2**62}, Fault.NAME, "'x'|drawn|segment_offset"),
        ("policies", {"sha256": "../outside", "weights_kept": True}, Fault.POLICY, "'../outside'"),
        ("policies", {"sha256": None, "weights_kept": True}, Fault.POLICY, "None"),
    ],
)
def test_rows_that_contradict_each_other_or_lead_out_are_refused(archive, table, row, fault, match):
    refused(forged(archive, table, row), fault, match)


@pytest.mark.parametrize("table", ["checkpoints", "placements", "quarantine", "archives", "commit_fence"])
def test_tables_that_no_archive_has_are_refused(archive, table):
    shutil.copytree(archive / "tables" / "samples", archive / "tables" / table)
    refused_in_each_way(signed(archive), Fault.NAME, table)
    said = json.loads((archive / "archive.json").read_text())
    (archive / "archive.json").write_text(json.dumps(said | {"tables": {"samples": 12, "builds": 2}}))
    refused_in_each_way(archive, Fault.NAME, table)


def test_rows_that_are_there_more_than_once_are_not_joined(archive):
    """A sample and a reward that are there a million times each would be joined to a million million rows."""
    report = verify_store(forged(archive, "samples", {}))
    assert "samples exist more than once" in report.errors[0].message
    assert report.unchecked == ("rules about tables: rows are there more than once",)


def test_a_lineage_that_would_never_end_is_refused(archive):
    circle = [{"sha256": a, "parent_sha256": b, "weights_kept": False} for a, b in (("a", "b"), ("b", "a"))]
    refused(forged(archive, "policies", *circle), Fault.POLICY, "'[ab]'")


# Policies


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("model.pkl", b"\x80\x04K\x01."),
        ("weights.pt", b"PK\x03\x04"),
        ("config.json", b"\x80\x04K\x01."),
        ("config.json", b"[" * 200_000),
        ("weights.safetensors", b"\xff" * 100),
    ],
)
def test_nothing_that_executes_or_is_damaged_comes_in_as_a_policy(archive, name, content):
    (folder,) = (archive / "policies").iterdir()
    shutil.rmtree(folder)
    with SampleStore.create(archive.parent / "other") as other:
        sha256 = other.policies.add({name: content})
    shutil.copytree(archive.parent / "other" / "policies" / sha256, folder)
    refused(signed(archive), Fault.POLICY, f"{re.escape(name)}|{folder.name}")
    shutil.copytree(folder, archive / "policies" / sha256)
    shutil.rmtree(folder)
    refused(
        forged(archive, "policies", {"sha256": sha256, "weights_kept": True}),
        Fault.POLICY,
        f"{re.escape(name)}|{sha256}|{folder.name}",
    )


def test_a_policy_is_never_in_memory_as_a_whole(archive, monkeypatch, tmp_path):
    (folder,) = (archive / "policies").iterdir()
    read_bytes = Path.read_bytes

    def of_others(path: Path) -> bytes:
        return pytest.fail("was read") if path.parent.name == folder.name else read_bytes(path)

    monkeypatch.setattr(Path, "read_bytes", of_others)
    assert verify_store(signed(archive)).errors == ()
    with trusted_archive(archive) as (opened, _), SampleStore.create(tmp_path / "store") as store:
        assert store.merge(opened).policies == 1
        assert store.policies.kept() == [folder.name]
        copied = store.policies.folder(folder.name) / "config.json"
    assert (copied.read_text(), stat.S_IMODE(copied.stat().st_mode)) == ("{}", 0o600)


# Arrays


def rewrite(segment: Path, name: str, **changes: object) -> None:
    path = segment / name / "zarr.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def rewrite_text(segment: Path, name: str, old: str, new: str) -> None:
    path = segment / name / "zarr.json"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))


def grid(*chunks: int) -> dict:
    return {"name": "regular", "configuration": {"chunk_shape": list(chunks)}}


ARRAY_LIES: dict[str, Callable[[Path], None]] = {
    "absurd shape": lambda s: rewrite(s, "tokens", shape=[12, 10**12]),
    "as many rows as never": lambda s: rewrite(s, "lengths", shape=[10**15], chunk_grid=grid(10**15)),
    "negative shape": lambda s: rewrite(s, "lengths", shape=[-12]),
    "a chunk larger than the array": lambda s: rewrite(s, "tokens", chunk_grid=grid(12, 10**9)),
    "other chunks": lambda s: rewrite(s, "lengths", chunk_grid=grid(1)),
    "rows without end": lambda s: rewrite_text(s, ".", '"rows":', '"rows": 1e999, "x":'),
    "rows that are none": lambda s: rewrite_text(s, ".", '"rows":', '"rows": NaN, "x":'),
    "rows twice": lambda s: rewrite_text(s, ".", '"rows":', '"rows": 12, "rows":'),
    "a deep header": lambda s: (s / "tokens" / "zarr.json").write_text("[" * 10_000),
    "a large header": lambda s: (s / "tokens" / "zarr.json").write_text(" " * 20_000 + "{}"),
    "no record": lambda s: (s / "zarr.json").write_text("[]"),
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
    monkeypatch.setattr("molbuffer.storage.verify.segments.read_segment", lambda *_, **__: pytest.fail("was decoded"))
    refused(signed(archive), Fault.ARRAYS, segment_of(archive).name)
    with pytest.raises(ArchiveError, match=segment_of(archive).name) as caught:
        SampleStore.open(archive)
    assert caught.value.fault is Fault.ARRAYS


def test_a_chunk_that_decodes_to_more_than_its_array_is_not_decoded(archive, monkeypatch):
    chunk = segment_of(archive) / "tokens" / "c.0.0"
    # A frame of one block of 2^40 bytes, which is all that a decoder would look at before it makes room.
    chunk.write_bytes(b"\x28\xb5\x2f\xfd\xe0" + (2**40).to_bytes(8, "little") + b"\x03\x00\x00x")
    monkeypatch.setattr("molbuffer.storage.verify.segments.read_segment", lambda *_, **__: pytest.fail("was decoded"))
    refused(signed(archive), Fault.ARRAYS, f"{2**40} .*120")


@pytest.mark.parametrize("n", [0, 1, 255, 256, 300, 65_791, 65_792, 1_000_000])
def test_what_a_zstd_frame_says_of_its_size_is_read_as_it_was_written(n):
    from numcodecs import zstd

    assert zstd_content_bytes(zstd.compress(bytes(n))) == n


@pytest.mark.parametrize("frame", [b"", b"\x28\xb5\x2f\xfd", b"\x28\xb5\x2f\xfd\x00\x58", b"\x1f\x8b" * 9])
def test_a_frame_that_does_not_say_its_size_is_refused(frame):
    with pytest.raises(ValueError, match="chunk"):
        zstd_content_bytes(frame)


def test_segments_that_are_not_those_of_the_builds_are_refused(archive):
    segment = segment_of(archive)
    shutil.copytree(segment, segment.with_name("f" * 32))
    refused(signed(archive), Fault.ARRAYS, "f" * 32)
    shutil.rmtree(segment)
    refused(signed(archive), Fault.ARRAYS, f"{segment.name}|{'f' * 32}")


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
    refused(signed(archive), Fault.ARRAYS, "lengths")


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


TAR_ATTACKS: dict[str, tuple[Fault, Callable[[tarfile.TarFile], None]]] = {
    "parent": (Fault.NAME, lambda tar: add(tar, "../outside", b"x")),
    "parent below": (Fault.NAME, lambda tar: add(tar, "archive/../../outside", b"x")),
    "absolute": (Fault.NAME, lambda tar: add(tar, "/tmp/outside", b"x")),
    "foreign name": (Fault.NAME, lambda tar: add(tar, "archive/sitecustomize.py", b"x")),
    "odd characters": (Fault.NAME, lambda tar: add(tar, "archive/tables/samples/a\nb.parquet", b"x")),
    "symbolic link": (
        Fault.NOT_PLAIN,
        lambda tar: add(tar, "archive/archive.json", type=tarfile.SYMTYPE, linkname="/etc/passwd"),
    ),
    "link to a folder": (
        Fault.NOT_PLAIN,
        lambda tar: add(tar, "archive/tables", type=tarfile.SYMTYPE, linkname="/tmp"),
    ),
    "hard link": (
        Fault.NOT_PLAIN,
        lambda tar: add(tar, "archive/archive.json", type=tarfile.LNKTYPE, linkname="archive/archive.json"),
    ),
    "device": (
        Fault.NOT_PLAIN,
        lambda tar: add(tar, "archive/archive.json", type=tarfile.CHRTYPE, devmajor=1, devminor=5),
    ),
    "pipe": (Fault.NOT_PLAIN, lambda tar: add(tar, "archive/archive.json", type=tarfile.FIFOTYPE)),
    "sparse": (Fault.NOT_PLAIN, lambda tar: add(tar, "archive/archive.json", type=tarfile.GNUTYPE_SPARSE)),
    "extended header": (
        Fault.NOT_PLAIN,
        lambda tar: add(tar, "archive/x", b"30 path=archive/archive.json\n", type=tarfile.XHDTYPE),
    ),
    "global header": (Fault.NOT_PLAIN, lambda tar: add(tar, "archive/x", b"", type=tarfile.XGLTYPE)),
    "long name": (Fault.NOT_PLAIN, lambda tar: add(tar, "archive/x", b"", type=tarfile.GNUTYPE_LONGNAME)),
    "the same file twice": (Fault.NAME, lambda tar: add(tar, "archive/archive.json", b"x")),
}


@pytest.mark.parametrize(("fault", "attack"), TAR_ATTACKS.values(), ids=TAR_ATTACKS)
def test_a_tar_file_with_anything_but_plain_files_of_an_archive_is_refused(archive, fault, attack):
    before = set(archive.parent.iterdir())
    refused(packed(signed(archive), attack), fault)
    assert set(archive.parent.iterdir()) - before == {archive.with_suffix(".tar")}


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_long_names_of_other_tar_formats_are_refused(archive, form):
    refused(packed(signed(archive), lambda tar: add(tar, f"archive/{'x' * 300}", b"x"), format=form), Fault.NOT_PLAIN)


def test_members_are_refused_by_the_size_they_declare_before_anything_is_written(archive, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "unpacking"))
    (tmp_path / "unpacking").mkdir()
    info = tarfile.TarInfo("archive/archive.json")
    for size, fault in ((8**11 - 1, Fault.TOO_LARGE), (2**80, Fault.TOO_LARGE), (-5, Fault.NAME)):
        info.size = size
        (tmp_path / "a.tar").write_bytes(info.tobuf(tarfile.GNU_FORMAT) + bytes(2048))
        refused(tmp_path / "a.tar", fault, limits=ArchiveLimits(bytes=10**9))
        assert not list((tmp_path / "unpacking").iterdir())


def test_a_tar_file_is_not_unpacked_beyond_what_is_free(archive, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda _: shutil._ntuple_diskusage(10**6, 10**6, 1_000))
    refused(packed(signed(archive)), Fault.TOO_LARGE)


def test_a_decompression_bomb_is_stopped_at_the_limit(tmp_path):
    (tmp_path / "outside").write_bytes(OUTSIDE)
    info = tarfile.TarInfo("archive/tables/samples/00000.parquet")
    info.size = 50 << 20
    bomb = tmp_path / "bomb.tar.gz"
    with gzip.open(bomb, "wb", 9) as file:
        file.write(info.tobuf(tarfile.USTAR_FORMAT))
        file.write(bytes(50 << 20))
    assert bomb.stat().st_size < 100_000
    refused(bomb, Fault.TOO_LARGE, limits=ArchiveLimits(bytes=10 << 20))
    # Headers are no files, and yet not without end.
    folders = tarfile.TarInfo("archive/tables")
    folders.type = tarfile.DIRTYPE
    with gzip.open(bomb, "wb", 9) as file:
        file.write(folders.tobuf(tarfile.USTAR_FORMAT) * 2_000)
    refused(bomb, Fault.TOO_LARGE, limits=ArchiveLimits(files=1_000))


@pytest.mark.parametrize("content", [b"", b"\x1f\x8b", b"\x28\xb5\x2f\xfd\x00", os.urandom(3000), b"PK\x03\x04" * 300])
def test_a_file_that_is_no_tar_file_is_refused(tmp_path, content):
    (tmp_path / "a.tar.gz").write_bytes(content)
    with pytest.raises(ArchiveError) as caught, unpacked(tmp_path / "a.tar.gz"):
        pytest.fail("was unpacked")
    assert caught.value.fault in (Fault.NOT_AN_ARCHIVE, Fault.TRUNCATED)


def test_a_truncated_tar_file_is_refused(archive):
    tar = packed(signed(archive))
    os.truncate(tar, tar.stat().st_size // 2)
    refused(tar, Fault.TRUNCATED)


def test_what_is_unpacked_is_private_and_gone_afterwards(archive):
    tar = packed(signed(archive), lambda tar: add(tar, "archive/tables", type=tarfile.DIRTYPE, mode=0o777))
    with unpacked(tar) as folder:
        modes = {stat.S_IMODE(path.stat().st_mode) for path in (folder, *folder.rglob("*"))}
    assert modes == {0o600, 0o700}
    assert not folder.exists()


# Verification


def named(archive: Path, fault: Fault, match: str) -> None:
    """Verifying it, as a folder and as a tar file, names what is wrong and opens nothing."""
    for path in (signed(archive), packed(archive)):
        report = verify_store(path)
        assert any(found.fault is fault and re.search(match, found.message) for found in report.errors), report.errors
        assert report.unchecked


def test_the_template_is_verified_in_each_form(archive):
    for path in (signed(archive), packed(archive)):
        report = verify_store(path)
        assert (report.errors, report.unchecked, report.checked["samples"]) == ((), (), 12)
        assert report.checked["rows of arrays"] == 12


@pytest.mark.parametrize("lie", ARRAY_LIES.values(), ids=ARRAY_LIES)
def test_what_would_not_end_is_not_decoded_to_be_verified(archive, lie, monkeypatch):
    lie(segment_of(archive))
    monkeypatch.setattr("molbuffer.storage.verify.segments.read_segment", lambda *_, **__: pytest.fail("was decoded"))
    named(archive, Fault.ARRAYS, segment_of(archive).name)


def test_arrays_beyond_the_limit_are_not_decoded(archive):
    (tokens,) = archive.glob("arrays/*/tokens/zarr.json")
    rows, width = json.loads(tokens.read_text())["shape"]
    assert wrong_arrays(archive, rows * (width + 4 + 4 * width)) is None
    problem = wrong_arrays(archive, rows * (width + 4 + 4 * width) - 1)
    assert problem is not None and problem.fault is Fault.TOO_LARGE


@pytest.mark.parametrize(
    ("table", "row", "fault"),
    [
        ("builds", {"build_id": "other", "segment": "../../outside"}, Fault.NAME),
        ("policies", {"sha256": "../..", "weights_kept": True}, Fault.POLICY),
        ("builds", {"build_id": "other", "segment": None}, Fault.NAME),
    ],
)
def test_names_that_lead_out_are_not_followed_to_be_verified(archive, table, row, fault):
    named(forged(archive, table, row), fault, "outside|None|\\.\\.")


@pytest.mark.parametrize(("fault", "attack"), TAR_ATTACKS.values(), ids=TAR_ATTACKS)
def test_a_hostile_tar_file_is_not_verified(archive, fault, attack):
    with pytest.raises(ArchiveError) as caught:
        verify_store(packed(signed(archive), attack))
    assert caught.value.fault is fault
    assert (archive.parent / "outside").read_bytes() == OUTSIDE


def test_a_store_is_as_it_was_after_a_hostile_archive_was_to_be_merged(archive, tmp_path, make):
    lie = ARRAY_LIES["absurd shape"]
    lie(segment_of(archive))
    with SampleStore.create(tmp_path / "store") as store:
        store.start_run(make.make_run())
        before = {path: path.read_bytes() for path in (tmp_path / "store").rglob("*.parquet")}, store.snapshot()
        with pytest.raises(ArchiveError), trusted_archive(signed(archive)) as (opened, _):
            store.merge(opened)
        assert (
            {path: path.read_bytes() for path in (tmp_path / "store").rglob("*.parquet")},
            store.snapshot(),
        ) == before
        assert not list((tmp_path / "store" / "arrays").iterdir())
