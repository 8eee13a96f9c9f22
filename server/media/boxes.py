"""Looks at the top-level boxes of an MP4 (ISO/IEC 14496-12) while its bytes pass by.

Two things about a file are seen there and nowhere cheaper: whether the index (`moov`) comes
after the data, so that a player must fetch the end before it can start, and whether the file
was cut off: a truncated file whose index comes first opens and plays like a whole one.
"""

_LONGEST_HEADER = 16
_MOST_BOXES = 100_000  # a file of nothing but empty boxes must not keep the event loop busy
_FIRST = frozenset({b"ftyp", b"styp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"})
_TOLD = frozenset({b"moov", b"mdat", b"moof", b"meta"})


class BoxScanner:
    """Fed with a file from the beginning, in pieces of any size; keeps at most 16 bytes.

    Ask `is_mp4`, `moov_last` and `truncated` after `finish`. Garbage is never an error: it
    ends the scan, and what was seen before it counts.
    """

    def __init__(self) -> None:
        self._header = b""  # of the box that begins at _next, as far as it has come
        self._position = 0  # bytes fed
        self._next = 0  # where the next box begins: what the boxes so far promise
        self._boxes = 0
        self._seen: set[bytes] = set()
        self._data_first = False
        self._ended = False  # nothing further can be learned
        self._total = 0

    def feed(self, piece: bytes | memoryview) -> None:
        """The next bytes of the file."""
        start, end = self._position, self._position + len(piece)
        self._position = end
        while not self._ended and self._next + len(self._header) < end:
            at = self._next + len(self._header) - start
            self._header += bytes(piece[at : at + _LONGEST_HEADER - len(self._header)])
            self._read_header()
            if self._header:  # not complete: the rest is in the next piece
                return

    def finish(self, total: int) -> None:
        """The file is over, after `total` bytes."""
        self._total = total

    @property
    def is_mp4(self) -> bool:
        """It has the boxes of a movie (MP4, MOV, M4A, not HEIC or AVIF)."""
        if b"moov" in self._seen:
            return True
        # The index has not come: cut off before it. Still images have a `meta` instead.
        return bool({b"mdat", b"moof"} & self._seen) and b"meta" not in self._seen

    @property
    def moov_last(self) -> bool:
        """The index comes after the data: to be remuxed for a fast start."""
        return self._data_first and b"moov" in self._seen

    @property
    def truncated(self) -> bool:
        """The boxes promise more bytes than came, or the index of a movie never came."""
        if not self._boxes:
            return False
        # Fewer bytes than a header at the end are a box cut off, unless they are padding.
        cut = self._next > self._total or any(self._header)
        return cut or (b"mdat" in self._seen and not {b"moov", b"meta"} & self._seen)

    def _read_header(self) -> None:
        """Take the header, when it is complete, and leave `_header` empty."""
        header = self._header
        if len(header) < 8:
            return
        size, name = int.from_bytes(header[:4]), header[4:8]
        if size == 1 and len(header) < _LONGEST_HEADER:
            return
        self._header = b""
        smallest = 8
        if size == 1:
            size, smallest = int.from_bytes(header[8:16]), 16
        known = _is_name(name) if self._boxes else name in _FIRST
        if not known or 0 < size < smallest or self._boxes == _MOST_BOXES:
            self._ended = True
            return
        self._boxes += 1
        if name in {b"mdat", b"moof"} and b"moov" not in self._seen:
            self._data_first = True
        if name in _TOLD:
            self._seen.add(name)
        if size == 0:  # to the end of the file
            self._ended = True
        else:
            self._next += size


def _is_name(name: bytes) -> bool:
    return all(0x20 <= byte < 0x7F or byte == 0xA9 for byte in name)
