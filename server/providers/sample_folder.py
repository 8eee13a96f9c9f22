"""Where the sample provider keeps its predictions and their outputs: a folder of its own."""

import asyncio
import json
import os
import re
import threading
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from server.providers.base import Status, Vanished

# Seconds for which an output is kept, as Replicate does.
KEPT = 3600.0
_ID = re.compile(r"sample-[0-9a-f]{24}")
_PIECE = 256 * 1024


@dataclass(frozen=True)
class Record:
    """A prediction as its file has it. `status` is None until it ends; times since the epoch."""

    id: str
    model: str
    input: dict[str, Any]
    created_at: float
    status: Status | None = None
    ended_at: float | None = None
    seconds: float | None = None
    error_code: str | None = None
    error_message: str | None = None


class Folder:
    """`<id>.json` for each prediction, `<id>.mp4` for its output. Blocking, but for reading."""

    def __init__(self, folder: Path) -> None:
        """It is made when it is first needed."""
        self._folder = folder
        self._writing = threading.Lock()

    def write(self, record: Record) -> None:
        """Keep a record so that a power cut finds the old one or the new one. OSError.

        One that has ended stays as it is: cancelling may come while the end is being written.
        """
        with self._writing:
            old = self.read(record.id)
            if old and old.status:
                return
            self._folder.mkdir(parents=True, exist_ok=True)
            part = self._folder / f"{record.id}.part.json"
            with part.open("w", encoding="utf-8") as file:
                json.dump(asdict(record), file)
                file.flush()
                os.fsync(file.fileno())
            part.replace(self._folder / f"{record.id}.json")
            self._sync()

    def read(self, prediction_id: str) -> Record | None:
        """A record; None when there is none. OSError."""
        if not _ID.fullmatch(prediction_id):
            return None
        try:
            text = (self._folder / f"{prediction_id}.json").read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        return Record(**json.loads(text))

    def all(self) -> list[Record]:
        """Every record, in no order. OSError."""
        records = (self.read(file.stem) for file in self._folder.glob("sample-*.json"))
        return [record for record in records if record]

    def part(self, prediction_id: str) -> Path:
        """Where an output is to be written before it is whole."""
        return self._folder / f"{prediction_id}.part.mp4"

    def finish(self, prediction_id: str) -> None:
        """Make what was written the output. OSError."""
        part = self.part(prediction_id)
        with part.open("rb") as file:
            os.fsync(file.fileno())
        part.replace(self._output(prediction_id))
        self._sync()

    async def read_output(self, prediction_id: str) -> AsyncIterator[bytes]:
        """The bytes of an output, in pieces; Vanished when it is gone. OSError."""
        if not _ID.fullmatch(prediction_id):
            raise Vanished("There is no such sample")
        try:
            file = await asyncio.to_thread(self._output(prediction_id).open, "rb")
        except FileNotFoundError as error:
            raise Vanished("The sample was kept for an hour, and is deleted now") from error
        with file:
            while piece := await asyncio.to_thread(file.read, _PIECE):
                yield piece

    def sweep(self, now: float) -> None:
        """Delete what ended an hour ago, and what nobody asked after for a day. OSError."""
        for file in self._folder.glob("sample-*"):
            record = self.read(file.name.partition(".")[0])
            ended = record.ended_at if record else None
            try:
                if (ended or file.stat().st_mtime + 23 * KEPT) + KEPT < now:
                    file.unlink()
            except FileNotFoundError:
                continue

    def _output(self, prediction_id: str) -> Path:
        return self._folder / f"{prediction_id}.mp4"

    def _sync(self) -> None:
        """Make renamed files survive a power cut."""
        descriptor = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
