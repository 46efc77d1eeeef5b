"""The logger of TensorBoard: an event file for each run, without TensorFlow.

The package ``tensorboard`` has all that an event file needs. A file holds records, each with its length and checksums;
an incomplete record that a killed process or a full disk has left is cut off when the log is opened again. The times
of events are those of the commits, so that two logs of one run are the same.
"""

from __future__ import annotations

import calendar
import os
import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO, ClassVar

from filelock import FileLock, Timeout

from molbuffer.exchange.errors import LoggerError, check_extra
from molbuffer.exchange.loggers.base import LoggedRun, LogPicture, LogPoint
from molbuffer.kinds import FolderName, Text, Typed, checked
from molbuffer.storage import RunStatus

if TYPE_CHECKING:
    from tensorboard.compat.proto import event_pb2

CONFIGURATION = "configuration"
_LONGEST_RECORD = 256 << 20


@checked
@dataclass(frozen=True)
class TensorBoard:
    """Event files for TensorBoard: `tensorboard --logdir FOLDER` shows them.

    Attributes:
        folder: the folder for the logs of all runs, each in a folder of its own.

    Example:
        >>> mb.TensorBoard("runs").place
        'runs'
    """

    folder: Annotated[str, Typed(Text), FolderName()]

    kind: ClassVar[str] = "tensorboard"

    @property
    def place(self) -> str:
        """The folder."""
        return str(self.folder)

    def check(self) -> None:
        """Check that the package ``tensorboard`` is installed.

        Raises:
            MissingExtraError: it is not installed.
        """
        check_extra("the logger tensorboard", "tensorboard", "tensorboard")

    def open(self, run: LoggedRun) -> EventFile:
        self.check()
        folder = Path(self.folder) / _plain(run.title)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            return EventFile(folder / f"events.out.tfevents.{_seconds(run.created):.0f}.molbuffer", run)
        except Timeout as error:
            raise LoggerError(f"another process is writing the log in {folder}: wait until it has ended") from error
        except OSError as error:
            raise LoggerError(f"the log in {folder} cannot be written: {error}") from error


def _plain(title: str) -> str:
    """Return a title as the name of a folder."""
    return "".join(each if each.isalnum() or each in "-_." else "_" for each in title).lstrip(".")


def _seconds(time: datetime) -> float:
    return calendar.timegm(time.timetuple()) + time.microsecond / 1e6


class EventFile:
    """The log of a run in a file.

    Args:
        path: the event file, new or written by an earlier process.
        run: the run.

    Raises:
        Timeout: another process writes to the file.
        OSError: the file cannot be opened.
    """

    def __init__(self, path: Path, run: LoggedRun) -> None:
        self._lock = FileLock(path.with_name("molbuffer.lock"), timeout=0)
        self._lock.acquire()
        try:
            self._file = path.open("r+b" if path.exists() else "w+b")
            self._last: dict[str, int] = {}
            size = self._read()
            self._file.truncate(size)
            self._file.seek(size)
            if size == 0:
                self._begin(run)
        except BaseException:
            self._lock.release()
            raise

    def last_steps(self) -> Mapping[str, int]:
        return self._last

    def write(self, points: Sequence[LogPoint], pictures: Sequence[LogPicture]) -> None:
        from tensorboard.compat.proto import summary_pb2

        for point in points:
            value = summary_pb2.Summary.Value(tag=point.tag, simple_value=point.value)
            self._put(value, point.step, point.created)
        for picture in pictures:
            image = summary_pb2.Summary.Image(
                height=picture.height, width=picture.width, colorspace=3, encoded_image_string=picture.png
            )
            self._put(summary_pb2.Summary.Value(tag=picture.tag, image=image), picture.step, picture.created)
        self._settle()

    def close(self, status: RunStatus | None) -> None:
        # On a full disk, writing the rest of the buffer fails once more.
        with suppress(OSError):
            self._file.close()
        self._lock.release()

    def _begin(self, run: LoggedRun) -> None:
        from tensorboard.compat.proto import event_pb2, summary_pb2, tensor_pb2, tensor_shape_pb2
        from tensorboard.plugins.text.metadata import create_summary_metadata

        self._record(event_pb2.Event(wall_time=_seconds(run.created), file_version="brain.Event:2"))
        shape = tensor_shape_pb2.TensorShapeProto(dim=[tensor_shape_pb2.TensorShapeProto.Dim(size=1)])
        text = tensor_pb2.TensorProto(dtype=7, string_val=[_as_table(run).encode()], tensor_shape=shape)
        metadata = create_summary_metadata(CONFIGURATION, "")
        value = summary_pb2.Summary.Value(tag=CONFIGURATION, tensor=text, metadata=metadata)
        self._put(value, 0, run.created)
        self._settle()

    def _put(self, value: Any, step: int, created: datetime) -> None:
        from tensorboard.compat.proto import event_pb2, summary_pb2

        summary = summary_pb2.Summary(value=[value])
        self._record(event_pb2.Event(wall_time=_seconds(created), step=step, summary=summary))
        self._last[value.tag] = step

    def _record(self, event: event_pb2.Event) -> None:
        from tensorboard.summary.writer.record_writer import RecordWriter

        RecordWriter(self._file).write(event.SerializeToString(deterministic=True))

    def _settle(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())

    def _read(self) -> int:
        """Read the whole records of the file, and return their size in bytes."""
        size = 0
        for data, end in records(self._file):
            self._note(data)
            size = end
        return size

    def _note(self, data: bytes) -> None:
        from tensorboard.compat.proto import event_pb2

        event = event_pb2.Event.FromString(data)
        for value in event.summary.value:
            self._last[value.tag] = max(event.step, self._last.get(value.tag, -1))


def records(file: BinaryIO) -> Iterator[tuple[bytes, int]]:
    """Yield the complete records at the beginning of a file, each with the position of its end."""
    from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c

    end = 0
    while len(header := file.read(12)) == 12:
        length, checksum = struct.unpack("<QI", header)
        if checksum != masked_crc32c(header[:8]) or length > _LONGEST_RECORD:
            return
        data, footer = file.read(length), file.read(4)
        if len(footer) < 4 or struct.unpack("<I", footer)[0] != masked_crc32c(data):
            return
        end += 16 + length
        yield data, end


def _as_table(run: LoggedRun) -> str:
    """Return the configuration of a run as a table in Markdown."""
    rows = {"run": run.run_id, "seed": str(run.seed), "code": run.code_version, **run.settings()}
    cells = (f"| {key} | {_cell(value)} |" for key, value in rows.items())
    return "\n".join(["| key | value |", "| --- | --- |", *cells])


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
