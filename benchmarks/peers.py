"""Two peers as ASGI applications: `python -m benchmarks.peers file|blob PATH PORT`."""

import sqlite3
import sys

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route


def file_response(path: str) -> Starlette:
    """Starlette's own way to serve a file, with ranges."""

    async def serve(_: Request) -> Response:
        return FileResponse(path, media_type="video/mp4")

    return Starlette(routes=[Route("/video.mp4", serve)])


def whole_blob(path: str) -> Starlette:
    """What one would write first: the video as one BLOB, read whole for each request.

    On the event loop, one request after the other: eight at a time would need 4 GiB of memory.
    """
    connection = sqlite3.connect(path)

    async def serve(request: Request) -> Response:
        data: bytes = connection.execute("SELECT data FROM video").fetchone()[0]
        wanted = request.headers.get("range")
        if wanted is None:
            return Response(data, media_type="video/mp4")
        first, last = (int(n) for n in wanted.removeprefix("bytes=").split("-"))
        headers = {"Content-Range": f"bytes {first}-{last}/{len(data)}"}
        return Response(data[first : last + 1], 206, headers, "video/mp4")

    return Starlette(routes=[Route("/video.mp4", serve)])


if __name__ == "__main__":
    make = {"file": file_response, "blob": whole_blob}[sys.argv[1]]
    uvicorn.run(
        make(sys.argv[2]),
        port=int(sys.argv[3]),
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_level="warning",
    )
