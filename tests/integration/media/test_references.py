"""Files that name other files and addresses: playlists, and movies whose media are elsewhere."""

import os
import socket
from pathlib import Path
from typing import Any

import av
import pytest

from server.media import Media, MediaError
from server.media.child import inputs
from tests import samples

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(not Path("/proc/self").exists(), reason="looks at processes in /proc"),
]

MOVIE = samples.video(audio=True)


def playlist(target: str) -> bytes:
    """A list of one entry, as HLS has it."""
    return f"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{target}\n#EXT-X-ENDLIST\n".encode()


@pytest.mark.parametrize(
    ("operation", "begin"),
    [
        ("inspect", b""),
        ("inspect", b"ID3\x04\0\0\0\0\0\0"),
        ("inspect", MOVIE[:32]),
        ("last_frame", MOVIE[:32]),
        ("concat", MOVIE[:32]),
    ],
)
async def test_playlists_open_nothing(
    operation: str, begin: bytes, tmp_path: Path, no_child_left: object
) -> None:
    """A list of files and addresses, plain or behind a real beginning, is not followed."""
    (tmp_path / "movie.mp4").write_bytes(MOVIE)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0)
        port = listener.getsockname()[1]
        targets = ["file:///etc/passwd", f"http://127.0.0.1:{port}/a.ts", f"{tmp_path}/movie.mp4"]
        texts = [playlist(target) for target in targets]
        texts.append(f"ffconcat version 1.0\nfile {tmp_path}/movie.mp4\n".encode())
        for text in texts:
            source, media = samples.source(begin + text), Media()
            with pytest.raises(MediaError):
                if operation == "concat":
                    await media.concat([source], tmp_path / "out.mp4")
                else:
                    await getattr(media, operation)(source)
        with pytest.raises(BlockingIOError):
            listener.accept()


class _Bytes(inputs.Remote):
    """An input without a parent to ask."""

    def __init__(self, data: bytes) -> None:
        super().__init__(self, 0, len(data))  # type: ignore[arg-type]
        self.data = data

    def read(self, size: int = -1) -> bytes:
        piece = self.data[self._position :][:size]
        self._position += len(piece)
        return piece


@pytest.mark.parametrize("demuxer", ["hls", "concat", "dash"])
def test_even_a_playlist_demuxer_opens_nothing(
    demuxer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Should a demuxer of playlists ever be chosen, opening is refused all the same."""
    (tmp_path / "movie.mp4").write_bytes(MOVIE)
    monkeypatch.setitem(inputs._DEMUXERS, "video/mp4", demuxer)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0)
        port = listener.getsockname()[1]
        for target in (f"{tmp_path}/movie.mp4", f"http://127.0.0.1:{port}/a.ts"):
            text = playlist(target)
            if demuxer == "concat":
                text = f"ffconcat version 1.0\nfile {target}\n".encode()
            with pytest.raises((av.FFmpegError, PermissionError)):  # noqa: SIM117
                with inputs.open_media(_Bytes(text), "video/mp4") as container:
                    next(container.demux())
        with pytest.raises(BlockingIOError):
            listener.accept()


@pytest.mark.parametrize("operation", ["inspect", "last_frame", "concat"])
async def test_a_movie_that_refers_to_another_file_does_not_open_it(
    operation: str, tmp_path: Path, no_child_left: object
) -> None:
    """Opening a FIFO to read would wait for a writer, and end as a timeout."""
    os.mkfifo(tmp_path / "other.mov")
    movie = samples.referring(samples.video(container="mov"), f"{tmp_path}/other.mov")
    source, media = samples.source(movie), Media(timeout=20)
    with pytest.raises(MediaError) as caught:
        if operation == "concat":
            await media.concat([source], tmp_path / "out.mp4")
        else:
            await getattr(media, operation)(source)
    assert caught.value.code == "media_unreadable"


def test_even_with_references_allowed_the_file_is_not_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reference is one that libav follows, were it told to: opening is refused all the same."""
    (tmp_path / "other.mov").write_bytes(MOVIE)
    movie = samples.referring(samples.video(container="mov"), f"{tmp_path}/other.mov")
    asked: list[str] = []
    refuse, plain = inputs._refuse, av.open

    def watched(url: str, flags: int, options: dict[str, str]) -> None:
        asked.append(url)
        refuse(url, flags, options)

    def allowing(*arguments: object, **others: Any) -> Any:
        others["options"] |= {"enable_drefs": "1", "use_absolute_path": "1"}
        return plain(*arguments, **others)

    monkeypatch.setattr(inputs, "_refuse", watched)
    monkeypatch.setattr(av, "open", allowing)
    with pytest.raises(PermissionError, match="may not open another"):
        inputs.open_media(_Bytes(movie), "video/quicktime")
    assert asked == [f"{tmp_path}/other.mov"]
