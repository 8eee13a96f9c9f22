"""What is compressed on its way: answers in JSON, and never an asset's bytes."""

import httpx
import pytest

from tests.api import upload

PACKED = {"Accept-Encoding": "gzip"}


@pytest.fixture
def asset(client: httpx.Client) -> dict[str, str]:
    """JSON that somebody has stored, twice."""
    upload(client, b"{}", "nothing.json")
    return upload(client, b"[" + b"1, " * 5000 + b"1]", "numbers.json")


@pytest.mark.parametrize("path", ["/schema/openapi.json", "/api/v3/assets"])
def test_long_json_is_compressed_for_those_who_can(
    client: httpx.Client, asset: dict[str, str], path: str
) -> None:
    """The same text either way, and caches are told that there are two."""
    packed = client.get(path, headers=PACKED)
    assert packed.headers["content-encoding"] == "gzip"
    assert "Accept-Encoding" in packed.headers["vary"]
    assert int(packed.headers["content-length"]) < len(packed.content)
    plain = client.get(path, headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers
    assert plain.json() == packed.json()


@pytest.mark.parametrize("asked", [{}, {"Range": "bytes=0-9999"}, {"Range": "bytes=0-1,9-10"}])
def test_bytes_are_sent_as_they_are(
    client: httpx.Client, asset: dict[str, str], asked: dict[str, str]
) -> None:
    """Ranges count the bytes that are stored, be it JSON that is."""
    answer = client.get(f"/api/v3/assets/{asset['id']}/data", headers={**PACKED, **asked})
    assert answer.status_code == (206 if asked else 200)
    assert "content-encoding" not in answer.headers


def test_short_json_and_errors_are_not_worth_it(client: httpx.Client) -> None:
    """A packet is a packet."""
    for path in ("/api/v3/session", "/api/v3/assets/none"):
        assert "content-encoding" not in client.get(path, headers=PACKED).headers
