"""The real tus clients, for Python and for browsers: cut off in the middle, they go on and end."""

import contextlib
import hashlib
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page

from tests.running import KEY, Server, running, until

MIB = 1024 * 1024
SIZE = 8 * MIB + 321

# As the README of tuspy has it. Prints where each request began.
PYTHON = """
import sys
from tusclient.client import TusClient
from tusclient.storage.filestorage import FileStorage

endpoint, key, path, known, piece, checksum = sys.argv[1:]
client = TusClient(endpoint, headers={"X-API-Key": key})
uploader = client.uploader(
    path, store_url=True, url_storage=FileStorage(known), metadata={"filename": "from python.bin"},
    chunk_size=int(piece), upload_checksum=checksum == "yes",
)
print(uploader.offset)
uploader.upload()
"""

# The bytes are the same after a reload; who resumes is told by `resumed`.
BROWSER = """async ([size, options]) => {
  const tus = await import("/web/vendor/tus.js");
  const bytes = new Uint8Array(size);
  for (let n = 0; n < size; n += 1) bytes[n] = Math.imul(n, 2654435761) >>> 13;
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  const file = new File([bytes], "from a browser.bin", { lastModified: 1 });
  const asked = [];
  window.sent = 0;
  return await new Promise((resolve, reject) => {
    const upload = new tus.Upload(file, {
      endpoint: "/api/v3/uploads",
      metadata: { filename: file.name },
      retryDelays: [0, 200, 500, 1000, 1000, 2000, 2000, 2000, 4000],
      onBeforeRequest: (request) => { asked.push(request.getMethod()); },
      onProgress: (sent) => { window.sent = sent; },
      onError: (error) => reject(new Error(`${error}`)),
      onSuccess: ({ lastResponse }) => resolve({
        asked,
        url: upload.url,
        asset: lastResponse.getHeader("Reelbase-Asset-Id"),
        sha256: [...digest].map((byte) => byte.toString(16).padStart(2, "0")).join(""),
      }),
      ...options,
    });
    upload.findPreviousUploads().then((known) => {
      if (known.length) upload.resumeFromPreviousUpload(known[0]);
      upload.start();
    });
  });
}"""


class Proxy:
    """A connection between client and server with something that happens to it on the way."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._left = 0
        self._happens: Callable[[], None] | None = None
        self._open: set[socket.socket] = set()
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def after(self, size: int, happens: Callable[[], None] = lambda: None) -> None:
        """Once so many bytes have gone to the server, this happens and the connection ends."""
        self._left, self._happens = size, happens

    @property
    def happened(self) -> bool:
        """Whether it has come to that."""
        return self._happens is None

    def close(self) -> None:
        end(self._listener, *self._open)
        for thread in self._threads:
            thread.join()
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                self._threads.append(threading.Thread(target=self._connect, args=(near,)))
                self._threads[-1].start()

    def _connect(self, near: socket.socket) -> None:
        address = urlsplit(self._server.url)
        try:
            far = socket.create_connection((address.hostname, address.port))
        except OSError:
            near.close()
            return
        with near, far:
            self._open |= {near, far}
            up = threading.Thread(target=self._pump, args=(near, far, True))
            up.start()
            self._pump(far, near, False)
            up.join()
            self._open -= {near, far}

    def _pump(self, source: socket.socket, sink: socket.socket, upwards: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if upwards and self._happens is not None:
                    self._left -= len(data)
                    if self._left <= 0:
                        happens, self._happens = self._happens, None
                        happens()
                        break
                sink.sendall(data)
        end(source, sink)


def end(*sockets: socket.socket) -> None:
    """Have nothing more go through these, and whoever waits for something stop waiting."""
    for one in sockets:
        with contextlib.suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with running(tmp_path / "data") as started:
        yield started


@pytest.fixture
def proxy(server: Server) -> Iterator[Proxy]:
    made = Proxy(server)
    yield made
    made.close()


def trouble(kind: str, server: Server) -> Callable[[], None]:
    """What happens in the middle: the connection ends, or the server is killed with it."""

    def kill() -> None:
        arrived(server)
        server.kill()

    return kill if kind == "server" else lambda: None


def arrived(server: Server) -> str:
    """Wait until half of the one upload that there is has been written; its address."""
    with server.client() as client:
        (begun,) = until(lambda: client.get("/api/v3/uploads").json()["items"])
        until(lambda: client.get(begun["url"]).json()["offset"] >= 4 * MIB)
    url: str = begun["url"]
    return url


def restarted(server: Server) -> None:
    server.start(urlsplit(server.url).port or 0)


def only_asset(server: Server) -> tuple[str, str, str]:
    """The one asset that there is: id, name, and the hash of the bytes that it serves."""
    with server.client() as client:
        (made,) = client.get("/api/v3/assets").json()["items"]
        data = client.get(f"/api/v3/assets/{made['id']}/data").content
        assert client.get("/api/v3/uploads").json()["items"] == []
    sha256 = hashlib.sha256(data).hexdigest()
    assert made["sha256"] == sha256
    return made["id"], made["filename"], sha256


def upload_with_python(
    proxy: Proxy, path: Path, piece: int = sys.maxsize, checksum: str = "no"
) -> tuple[int, int]:
    """Run the client; whether it says that it has succeeded (0), and where it began."""
    environment = {"PATH": os.environ["PATH"]}
    known = str(path.with_suffix(".json"))
    arguments = [f"{proxy.url}/api/v3/uploads", KEY, str(path), known, str(piece), checksum]
    done = subprocess.run(
        [sys.executable, "-c", PYTHON, *arguments],
        env=environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.stdout, done.stderr
    return done.returncode, int(done.stdout)


@pytest.mark.parametrize("kind", ["connection", "server"])
def test_the_python_client_goes_on_where_it_was_cut_off(
    server: Server, proxy: Proxy, tmp_path: Path, kind: str
) -> None:
    """Another process of it, later, with the address that the first one wrote down."""
    path = tmp_path / "file.bin"
    path.write_bytes(os.urandom(SIZE))
    proxy.after(6 * MIB, trouble(kind, server))
    status, began = upload_with_python(proxy, path)
    assert (status != 0, began) == (True, 0)
    if kind == "server":
        restarted(server)
    status, began = upload_with_python(proxy, path)
    assert status == 0
    assert 4 * MIB <= began < SIZE
    _, name, sha256 = only_asset(server)
    assert (name, sha256) == ("from python.bin", hashlib.sha256(path.read_bytes()).hexdigest())


def test_the_python_client_sends_pieces_with_checksums(
    server: Server, proxy: Proxy, tmp_path: Path
) -> None:
    """Whole pieces are kept, half ones are not."""
    path = tmp_path / "file.bin"
    path.write_bytes(os.urandom(SIZE))
    proxy.after(5 * MIB + 500_000)
    assert upload_with_python(proxy, path, 2 * MIB, "yes")[0] != 0
    assert upload_with_python(proxy, path, 2 * MIB, "yes") == (0, 4 * MIB)
    assert only_asset(server)[2] == hashlib.sha256(path.read_bytes()).hexdigest()


@contextlib.contextmanager
def signed_in(browser: Browser, proxy: Proxy) -> Iterator[Page]:
    """Our own page, with its session and under its policy; no complaint of which is allowed."""
    context = browser.new_context()
    complaints: list[str] = []
    try:
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.goto(proxy.url)
        answer = page.evaluate(
            """async (key) => (await fetch("/api/v3/session", {
              method: "POST",
              headers: { "Content-Type": "application/json" },
              body: JSON.stringify({ key }),
            })).status""",
            KEY,
        )
        assert answer == 201
        yield page
    finally:
        context.close()
    assert not [one for one in complaints if "Content Security Policy" in one]


@pytest.mark.parametrize("kind", ["connection", "server"])
def test_the_browser_client_goes_on_by_itself(
    server: Server, proxy: Proxy, browser: Browser, kind: str
) -> None:
    """It asks how far it is, sends the rest, and hears of the asset."""
    with signed_in(browser, proxy) as page:

        def happens() -> None:
            trouble(kind, server)()
            if kind == "server":
                threading.Thread(target=restarted, args=(server,)).start()

        proxy.after(6 * MIB, happens)
        told = page.evaluate(BROWSER, [SIZE, {}])
    assert proxy.happened
    assert told["asked"][:3] == ["POST", "PATCH", "HEAD"]
    assert told["asked"][-2:] == ["HEAD", "PATCH"]
    assert (told["asset"], "from a browser.bin", told["sha256"]) == only_asset(server)


def test_the_browser_client_goes_on_after_a_reload(
    server: Server, proxy: Proxy, browser: Browser
) -> None:
    """The page is loaded anew in the middle of it: the same upload is gone on with."""
    with signed_in(browser, proxy) as page:
        hold = threading.Event()
        proxy.after(6 * MIB, lambda: bool(hold.wait(30)) and None)
        page.evaluate(f"(given) => {{ ({BROWSER})(given); }}", [SIZE, {}])
        begun = arrived(server)
        page.reload()
        hold.set()
        told = page.evaluate(BROWSER, [SIZE, {}])
    assert told["asked"] == ["HEAD", "PATCH"]
    assert urlsplit(told["url"]).path == begun
    assert (told["asset"], "from a browser.bin", told["sha256"]) == only_asset(server)


def test_the_browser_client_does_without_patch_and_sends_bytes_at_once(
    server: Server, proxy: Proxy, browser: Browser
) -> None:
    """Its other ways to speak: POST for PATCH, and the first piece with the creation."""
    options = {
        "overridePatchMethod": True,
        "uploadDataDuringCreation": True,
        "chunkSize": 3 * MIB,
    }
    with signed_in(browser, proxy) as page:
        told = page.evaluate(BROWSER, [SIZE, options])
    assert told["asked"] == ["POST"] * 3
    assert (told["asset"], "from a browser.bin", told["sha256"]) == only_asset(server)
