"""The journal says which files each snapshot added, whatever was cut off, damaged or set back."""

import shutil
from dataclasses import replace

import pytest

from molbuffer.storage import SampleStore
from molbuffer.storage.catalog.journal import Journal, JournalEntry, JournalFile, read_content
from molbuffer.storage.files.durable import sync_paths
from molbuffer.storage.records import Score


def entry(snapshot, *names, rewritten=False):
    files = {"samples": [JournalFile(name) for name in names]}
    return JournalEntry(snapshot, 1_000 + snapshot, "ä", "é\n", {"runs": ["r"]}, files, rewritten)


FIRST = [entry(0, rewritten=True), entry(4, "a", rewritten=True), entry(5, "b")]


def content(*entries):
    return b"".join(each.to_line() for each in entries)


@pytest.mark.parametrize(
    ("said", "snapshots", "complete"),
    [
        (content(*FIRST), [0, 4, 5], True),
        # Cut off by a kill, and then followed by who took the number.
        (content(*FIRST) + entry(6).to_line()[:40], [0, 4, 5], True),
        (content(*FIRST) + entry(6).to_line()[:40] + content(entry(6), entry(7)), [0, 4, 5, 6, 7], True),
        # Never committed, and then followed by who took the number.
        (content(*FIRST, entry(6, "void"), entry(6, "b")), [0, 4, 5, 6], True),
        # A catalog that was set back.
        (content(*FIRST, entry(6), entry(7), entry(6)), [0, 4, 5, 6], True),
        # Lines that are lost or damaged.
        (content(*FIRST, entry(7)), [0, 4, 5, 7], False),
        (content(*FIRST, entry(6)).replace(b'"b"', b'"x"'), [0, 4, 6], False),
        (content(*FIRST).replace(b'"b"', b'"x"'), [0, 4], False),
        (content(*FIRST).replace(b'"a"', b'"x"'), [0, 5], False),
        (b"\x00" * 500 + b"\n" + content(*FIRST), [0, 4, 5], True),
        (b"", [], True),
    ],
)
def test_lines_are_read_as_far_as_they_are_sound(tmp_path, said, snapshots, complete):
    found = read_content(said)
    assert [each.snapshot for each in found.entries] == snapshots
    assert found.complete is complete
    (tmp_path / "journal.jsonl").write_bytes(said)
    assert Journal(tmp_path / "journal.jsonl", sync_paths).newest() == (snapshots[-1] if snapshots else -1)


def test_an_entry_is_read_as_it_was_written_and_a_long_last_one_is_found(tmp_path):
    journal = Journal(tmp_path / "journal.jsonl", sync_paths)
    long = replace(entry(6), extra={"builds": ["b" * 32] * 20_000})
    journal.rewrite(FIRST[:2])
    for each in (FIRST[2], long):
        journal.append(each)
    assert journal.read().entries == (*FIRST, long)
    assert journal.newest() == 6


def newest(path):
    return Journal(path / "journal.jsonl", sync_paths).newest()


def files_of(store):
    found = Journal(store.path / "journal.jsonl", sync_paths).read().entries
    return {file.name for each in found for of in each.files.values() for file in of}


def test_it_follows_the_catalog_also_after_others_have_written_or_set_it_back(filled, make):
    path = filled.path
    assert newest(path) == filled.snapshot()
    filled.close()
    shutil.copy(path / "catalog.sqlite", path.with_name("earlier.sqlite"))
    kept = (path / "journal.jsonl").read_bytes()
    with SampleStore.open(path) as store:
        for place in range(3):
            store.record_scores([Score("C" * (place + 9), "docking", "v1", -7.0)])
        assert newest(path) == store.snapshot()
    # As an older release leaves it, which knows of no journal.
    (path / "journal.jsonl").write_bytes(kept)
    with SampleStore.open(path) as store:
        store.record_scores([Score("N", "docking", "v1", -7.0)])
        assert newest(path) == store.snapshot()
        later = files_of(store)
    # A backup that was put in its place: what it does not know is not forgotten.
    shutil.copy(path.with_name("earlier.sqlite"), path / "catalog.sqlite")
    with SampleStore.open(path) as store:
        assert newest(path) > store.snapshot()
        store.start_run(make.make_run())
        assert newest(path) == store.snapshot()
        assert len(files_of(store)) < len(later)
    (aside,) = (path / "backups").iterdir()
    assert {f.name for e in read_content(aside.read_bytes()).entries for of in e.files.values() for f in of} == later
