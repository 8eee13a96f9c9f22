"""The guarded way out: spellings, redirects, a changing DNS answer, TLS names, the tunnel."""

import asyncio
import datetime
import ipaddress
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from server.clock import SystemClock
from server.egress import (
    BlockedAddress,
    Guard,
    HostNotFound,
    UnsupportedURL,
    check_url,
    is_public,
    parse_allowed,
)
from server.ingest.proxy import forward_proxy

pytestmark = pytest.mark.anyio

# Loopback, private, link-local and metadata hosts, in every spelling that a resolver accepts.
INSIDE = [
    "localhost",
    "LOCALHOST",
    "localhost.",
    "127.0.0.1",
    "127.0.0.1.",
    "127.1",
    "127.0.1",
    "2130706433",
    "017700000001",
    "0177.0.0.01",
    "0x7f000001",
    "0x7f.1",
    "0X7F.0x0.0x0.0x1",
    "127。0。0。1",
    "①②⑦.⓪.⓪.①",
    "127.0.0.1",
    "ⓛⓞⓒⓐⓛⓗⓞⓢⓣ",
    "127.255.255.254",
    "0",
    "0.0.0.0",
    "10.0.0.1",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "100.64.0.1",
    "100.100.100.200",
    "169.254.169.254",
    "0xa9fea9fe",
    "2852039166",
    "0251.0376.0251.0376",
    "168.63.129.16",
    "192.0.0.192",
    "192.0.2.1",
    "198.18.0.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "[::]",
    "[::1]",
    "[0:0:0:0:0:0:0:1]",
    "[::127.0.0.1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::ffff:a9fe:a9fe]",
    "[::ffff:0:127.0.0.1]",
    "[64:ff9b::127.0.0.1]",
    "[64:ff9b::a9fe:a9fe]",
    "[64:ff9b:1::a00:1]",
    "[2002:7f00:1::]",
    "[2001:0:4136:e378:8000:63bf:3fff:fdd2]",
    "[2001:db8::1]",
    "[3fff::1]",
    "[100::1]",
    "[5f00::1]",
    "[fc00::1]",
    "[fd00:ec2::254]",
    "[fdaa::3]",
    "[fe80::1]",
    "[fec0::1]",
    "[ff02::1]",
]
OUTSIDE = ["8.8.8.8", "134744072", "1.1.1.1.", "[2606:4700::1111]", "[64:ff9b::808:808]"]
UNSUPPORTED = [
    "",
    "example.org",
    "//example.org/",
    "ftp://example.org/",
    "file:///etc/passwd",
    "data:text/plain,x",
    "javascript:alert(1)",
    "generic:http://example.org/",
    "http:///path",
    "http://",
    "http://user@example.org/",
    "http://user:secret@example.org/",
    "http://@example.org/",
    "http://example.org\\@127.0.0.1/",
    "http://example.org:0/",
    "http://example.org:65536/",
    "http://example.org:x/",
    "http://exa mple.org/",
    "http://example.org/a b",
    "http://example.org/\r\nHost: x",
    "http://exa%6dple.org/",
    "http://exa\tmple.org/",
    "http://[::1/",
    "http://[fe80::1%25eth0]/",
    "http://[::1%eth0]/",
    "http://[127.0.0.1]/",
    "http://::1/",
    "http://a..b/",
    "http://" + "a" * 64 + ".org/",
    "http://example.org/" + "a" * 2048,
]


@pytest.mark.parametrize("host", INSIDE)
async def test_inside_is_blocked_in_every_spelling(host: str) -> None:
    guard = Guard()
    with pytest.raises(BlockedAddress) as caught:
        await guard.resolve(host, 8080)
    assert caught.value.code == "blocked_address"
    # As URLs, some spellings are refused before anything is resolved.
    with pytest.raises((BlockedAddress, UnsupportedURL)):
        await guard.check(f"http://{host}:8080/x")
    async with guard.client() as client:
        with pytest.raises((BlockedAddress, httpx.InvalidURL)):
            await client.get(f"http://{host}/")


@pytest.mark.parametrize("host", OUTSIDE)
async def test_public_addresses_pass(host: str) -> None:
    assert (await Guard().check(f"https://{host}/x")).port == 443


@pytest.mark.parametrize("url", UNSUPPORTED)
def test_unsupported_urls(url: str) -> None:
    with pytest.raises(UnsupportedURL) as caught:
        check_url(url)
    assert caught.value.code == "unsupported_url"


def test_a_url_is_passed_on_with_an_ascii_host_and_the_rest_untouched() -> None:
    parsed = check_url("HTTPS://Bücher.Example:8443/a%2Fb?sig=%2b#x")
    assert parsed.url == "https://xn--bcher-kva.example:8443/a%2Fb?sig=%2b#x"
    assert (parsed.scheme, parsed.host, parsed.port) == ("https", "xn--bcher-kva.example", 8443)
    assert check_url("http://[2606:4700:0::1111]/").url == "http://[2606:4700::1111]/"


async def test_one_private_answer_spoils_all_and_is_not_named() -> None:
    async def lookup(host: str, port: int) -> Sequence[str]:
        return ["93.184.215.14", "10.11.12.13"]

    with pytest.raises(BlockedAddress) as caught:
        await Guard(lookup=lookup).resolve("sneaky.example", 80)
    assert "sneaky.example" in caught.value.detail
    assert "10.11" not in caught.value.detail


async def test_a_host_that_is_not_there() -> None:
    async def lookup(host: str, port: int) -> Sequence[str]:
        raise OSError(-2, "Name or service not known")

    with pytest.raises(HostNotFound) as caught:
        await Guard(lookup=lookup).check("https://nowhere.example/")
    assert caught.value.code == "host_not_found"


def test_allowed_pairs_are_read_from_text() -> None:
    assert parse_allowed("") == frozenset()
    assert parse_allowed(" 127.0.0.1:80, [::1]:81 ,MinIO.internal:9000,") == {
        ("127.0.0.1", 80),
        ("::1", 81),
        ("minio.internal", 9000),
    }
    for text in ("localhost", "localhost:", "localhost:99999", "::1:80", "http://localhost:80"):
        with pytest.raises(UnsupportedURL):
            parse_allowed(text)


async def test_an_allowed_pair_opens_itself_only() -> None:
    guard = Guard(allow_private=parse_allowed("127.0.0.1:8000,intra.example:9000"), lookup=loopback)
    await guard.resolve("127.0.0.1", 8000)
    await guard.resolve("localhost", 8000)  # leads to an allowed address
    await guard.resolve("intra.example", 9000)
    for host, port in [("127.0.0.1", 8001), ("127.0.0.1", 9000), ("intra.example", 9001)]:
        with pytest.raises(BlockedAddress):
            await guard.resolve(host, port)


def test_the_whole_internet_is_not_closed() -> None:
    assert is_public(ipaddress.ip_address("2a09:8280:1::1"))
    assert is_public(ipaddress.ip_address("66.241.124.1"))


async def test_a_dns_answer_that_changes_is_connected_at_the_checked_address() -> None:
    """The first answer is judged and used; a second question would have had another answer."""
    answers = [["127.0.0.1"], ["127.0.0.2"]]
    asked: list[str] = []

    async def lookup(host: str, port: int) -> Sequence[str]:
        asked.append(host)
        return answers.pop(0)

    async with serving("first") as port:
        guard = Guard(allow_private=frozenset({("127.0.0.1", port)}), lookup=lookup)
        async with guard.client() as client:
            response = await client.get(f"http://rebind.example:{port}/", headers={"X-A": "b"})
            assert response.text.startswith("first")
            assert f"host: rebind.example:{port}" in response.text.lower()
            assert asked == ["rebind.example"]
        async with guard.client() as client:
            with pytest.raises(BlockedAddress):
                await client.get(f"http://rebind.example:{port}/")


async def test_a_dead_address_falls_back_to_the_next() -> None:
    async def lookup(host: str, port: int) -> Sequence[str]:
        return ["::1", "127.0.0.3", "127.0.0.1"]

    async with serving("alive") as port:
        guard = Guard(allow_private=frozenset({("twins.example", port)}), lookup=lookup)
        async with guard.client() as client:
            assert (await client.get(f"http://twins.example:{port}/")).status_code == 200


@pytest.mark.parametrize("via", ["client", "proxy"])
async def test_redirects_are_judged_like_any_request(via: str) -> None:
    async with serving("inside") as closed, serving("target") as opened:
        places = {
            "/closed": f"http://127.0.0.1:{closed}/",
            "/name": f"http://localhost:{closed}/",
            "/decimal": f"http://2130706433:{closed}/",
            "/mapped": f"http://[::ffff:127.0.0.1]:{closed}/",
            "/metadata": "http://169.254.169.254/latest/meta-data/",
            "/open": f"http://127.0.0.1:{opened}/",
            "/loop": "/loop",
        }
        async with serving("start", places) as start:
            guard = Guard(allow_private=parse_allowed(f"127.0.0.1:{start},127.0.0.1:{opened}"))
            async with guarded(guard, via) as client:
                url = f"http://127.0.0.1:{start}"
                assert (await client.get(f"{url}/open")).text.startswith("target")
                for path in ("/closed", "/name", "/decimal", "/mapped", "/metadata"):
                    if via == "client":
                        with pytest.raises(BlockedAddress):
                            await client.get(url + path)
                    else:
                        # 502: httpx forgets the brackets of IPv6 in a proxied URL.
                        assert (await client.get(url + path)).status_code in (403, 502)
                with pytest.raises(httpx.TooManyRedirects):
                    await client.get(f"{url}/loop")


async def test_a_redirect_to_another_scheme_or_with_credentials_is_refused() -> None:
    places = {"/ftp": "ftp://127.0.0.1/x", "/user": "http://user:pw@example.org/"}
    async with serving("start", places) as port:
        guard = Guard(allow_private=parse_allowed(f"127.0.0.1:{port}"))
        async with guard.client() as client:
            with pytest.raises((UnsupportedURL, httpx.UnsupportedProtocol)):
                await client.get(f"http://127.0.0.1:{port}/ftp")
            with pytest.raises(UnsupportedURL):
                await client.get(f"http://127.0.0.1:{port}/user")


async def test_cookies_of_one_answer_do_not_go_with_the_next_request() -> None:
    async with serving("hello") as port:
        guard = Guard(allow_private=parse_allowed(f"127.0.0.1:{port}"))
        async with guard.client() as client:
            await client.get(f"http://127.0.0.1:{port}/")
            response = await client.get(f"http://127.0.0.1:{port}/")
            assert "set-cookie" in response.headers
            assert "cookie:" not in response.text.lower()


async def test_the_environment_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    async with serving("direct") as port:
        guard = Guard(allow_private=parse_allowed(f"127.0.0.1:{port}"))
        async with guard.client() as client:
            assert (await client.get(f"http://127.0.0.1:{port}/")).status_code == 200


@pytest.mark.parametrize("via", ["client", "proxy"])
async def test_tls_is_checked_against_the_name_not_the_address(via: str, tmp_path: Path) -> None:
    chain, trust = certificate(tmp_path, "media.example")
    names: list[str | None] = []
    chain.sni_callback = lambda _socket, name, _context: names.append(name)
    async with serving("secret", tls=chain) as port:
        guard = Guard(
            allow_private=parse_allowed(f"media.example:{port},other.example:{port}"),
            lookup=loopback,
        )
        async with guarded(guard, via, trust) as client:
            assert (await client.get(f"https://media.example:{port}/")).status_code == 200
            assert names == ["media.example"]
            with pytest.raises(httpx.ConnectError, match=r"(?i)certificate verify failed"):
                await client.get(f"https://other.example:{port}/")


@pytest.mark.parametrize("host", ["localhost", "2130706433", "127.1", "[::ffff:127.0.0.1]"])
async def test_the_proxy_blocks_connect_too(host: str) -> None:
    async with serving("inside") as port, forward_proxy(Guard(), SystemClock()) as proxy:
        status = await connect_through(proxy.url, f"{host}:{port}")
        assert b" 403 " in status
        assert proxy.blocked is not None
        assert proxy.blocked.code == "blocked_address"


async def test_the_proxy_needs_its_credential() -> None:
    async with serving("open") as port:
        guard = Guard(allow_private=parse_allowed(f"127.0.0.1:{port}"))
        async with forward_proxy(guard, SystemClock()) as proxy:
            assert b" 200 " in await connect_through(proxy.url, f"127.0.0.1:{port}")
            bare = httpx.URL(proxy.url).copy_with(userinfo=b"reelbase:guess")
            assert b" 407 " in await connect_through(str(bare), f"127.0.0.1:{port}")


@pytest.mark.parametrize(
    ("request_head", "status"),
    [
        (b"GET / HTTP/1.1\r\n{auth}\r\n", b" 502 "),
        (b"GET ftp://example.org/ HTTP/1.1\r\n{auth}\r\n", b" 502 "),
        (b"GET https://8.8.8.8/ HTTP/1.1\r\n{auth}\r\n", b" 400 "),
        (b"CONNECT nonsense HTTP/1.1\r\n{auth}\r\n", b" 502 "),
        (b"nonsense\r\n\r\n", b" 400 "),
        (b"GET http://a.b/ HTTP/1.1\r\n folded: x\r\n\r\n", b" 400 "),
        (b"GET http://a.b/ HTTP/1.1\r\nX: " + b"x" * 200_000 + b"\r\n\r\n", b" 431 "),
    ],
)
async def test_the_proxy_answers_nonsense_calmly(request_head: bytes, status: bytes) -> None:
    async with forward_proxy(Guard(), SystemClock()) as proxy:
        auth = httpx.BasicAuth("reelbase", httpx.URL(proxy.url).password)._auth_header
        line = f"Proxy-Authorization: {auth}\r\n".encode()
        answer = await raw(proxy.url, request_head.replace(b"{auth}", line))
        assert status in answer


async def test_the_proxy_closes_the_tap_at_its_limit_and_stops_cleanly() -> None:
    async with serving("x" * 300_000) as port:
        guard = Guard(allow_private=parse_allowed(f"127.0.0.1:{port}"))
        async with forward_proxy(guard, SystemClock(), max_bytes=100_000) as proxy:
            async with httpx.AsyncClient(proxy=proxy.url, trust_env=False) as client:
                with pytest.raises(httpx.TransportError):
                    await client.get(f"http://127.0.0.1:{port}/")
            assert proxy.exhausted
        with pytest.raises(OSError, match="onnect"):
            await raw(proxy.url, b"GET / HTTP/1.1\r\n\r\n")


async def test_the_operators_proxy_gets_the_checked_address() -> None:
    """Public targets go through it as addresses; an allowed private one stays direct."""
    heads: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nthrough")
        await writer.drain()
        writer.close()

    async def lookup(host: str, port: int) -> Sequence[str]:
        return ["93.184.215.14"] if host == "public.example" else ["127.0.0.1"]

    operator = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with operator, serving("direct") as port:
        address = f"127.0.0.1:{operator.sockets[0].getsockname()[1]}"
        guard = Guard(
            allow_private=parse_allowed(f"127.0.0.1:{port}"),
            proxy=f"http://me:p%40ss@{address}",
            lookup=lookup,
        )
        async with guard.client() as client:
            assert (await client.get("http://public.example/")).text == "through"
            assert (await client.get(f"http://127.0.0.1:{port}/")).text.startswith("direct")
            with pytest.raises(BlockedAddress):
                await client.get("http://private.example/")
    [head] = heads
    assert head.splitlines()[:3] == [
        b"CONNECT 93.184.215.14:80 HTTP/1.1",
        b"Host: 93.184.215.14:80",
        b"Proxy-Authorization: Basic bWU6cEBzcw==",
    ]
    with pytest.raises(UnsupportedURL):
        Guard(proxy="socks5://127.0.0.1:1080")


async def loopback(host: str, port: int) -> Sequence[str]:
    """Every name leads here."""
    return ["127.0.0.1"]


@asynccontextmanager
async def serving(
    text: str, places: dict[str, str] | None = None, tls: ssl.SSLContext | None = None
) -> AsyncIterator[int]:
    """A loopback server: redirects by path, else the text and the request's head; its port."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            place = (places or {}).get(head.split(" ")[1])
            body = (text + "\n" + head).encode()
            status = f"302 Found\r\nLocation: {place}" if place else "200 OK"
            writer.write(
                f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nSet-Cookie: a=b\r\n"
                "Connection: close\r\n\r\n".encode()
                + body
            )
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=tls)
    async with server:
        yield server.sockets[0].getsockname()[1]


@asynccontextmanager
async def guarded(
    guard: Guard, via: str, verify: ssl.SSLContext | None = None
) -> AsyncIterator[httpx.AsyncClient]:
    """The guard's own client, or an innocent client behind the filtering proxy."""
    if via == "client":
        async with guard.client(verify=verify) as client:
            yield client
        return
    async with (
        forward_proxy(guard, SystemClock()) as proxy,
        httpx.AsyncClient(
            proxy=proxy.url,
            follow_redirects=True,
            max_redirects=5,
            trust_env=False,
            verify=verify or True,
        ) as client,
    ):
        yield client


async def connect_through(proxy: str, target: str) -> bytes:
    """The first answer to a CONNECT."""
    user, word = httpx.URL(proxy).username, httpx.URL(proxy).password
    auth = httpx.BasicAuth(user, word)._auth_header
    return await raw(
        proxy, f"CONNECT {target} HTTP/1.1\r\nProxy-Authorization: {auth}\r\n\r\n".encode()
    )


async def raw(proxy: str, data: bytes) -> bytes:
    """What a proxy answers to these bytes, the first piece of it."""
    url = httpx.URL(proxy)
    reader, writer = await asyncio.open_connection(url.host, url.port)
    try:
        writer.write(data)
        return await reader.read(4096)
    finally:
        writer.close()


def certificate(folder: Path, name: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's context with a certificate for `name`, and a client's that trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = signed.public_bytes(serialization.Encoding.PEM)
    (folder / "cert.pem").write_bytes(
        pem
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    chain = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    chain.load_cert_chain(folder / "cert.pem")
    trust = ssl.create_default_context(cadata=pem.decode())
    return chain, trust
