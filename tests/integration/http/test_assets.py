"""Assets: upload, metadata and posters, list, rename, delete."""

import socket
import sqlite3
from contextlib import closing
from urllib.parse import urlsplit

import httpx
import pytest

from tests import samples
from tests.api import code, upload
from tests.running import Server, until


def processed(client: httpx.Client, asset_id: str) -> dict[str, object]:
    def check() -> dict[str, object] | None:
        shown: dict[str, object] = client.get(f"/api/v3/assets/{asset_id}").json()
        return shown if shown["processing_state"] != "waiting" else None

    return until(check, what=lambda: "probe and poster")


def test_a_video_gets_its_metadata_and_a_poster(client: httpx.Client) -> None:
    """Made after the 201; the poster is a JPEG that is served like any asset."""
    data = samples.video(width=320, height=180)
    made = upload(client, data, "holiday.mp4")
    assert (made["kind"], made["content_type"]) == ("video", "video/mp4")
    shown = processed(client, made["id"])
    assert shown["processing_state"] == "done"
    assert (shown["width"], shown["height"]) == (320, 180)
    assert "h264" in str(shown["codecs"])
    assert float(str(shown["duration"])) > 0.3
    assert float(str(shown["fps"])) > 1
    poster = client.get(str(shown["poster_url"]), headers={"X-API-Key": ""})
    assert poster.headers["content-type"] == "image/jpeg"
    assert poster.content[:3] == b"\xff\xd8\xff"


def test_uploads_keep_the_bytes_that_came(client: httpx.Client) -> None:
    """Also when the index comes last: only provider outputs are remuxed."""
    data = samples.video(faststart=False)
    made = upload(client, data, "a.mp4")
    assert client.get(f"/api/v3/assets/{made['id']}/data").content == data


@pytest.mark.parametrize("how", ["raw", "multipart", "multipart, fields after the file"])
def test_both_ways_of_uploading_give_the_same(client: httpx.Client, how: str) -> None:
    """A raw body, or a form in any order; the name comes along."""
    data = bytes(range(256)) * 20_000
    if how == "raw":
        answer = client.post("/api/v3/assets", content=data, params={"filename": "a b.dat"})
    else:
        project = client.get("/api/v3/assets").json()["items"]
        fields = {"project_id": project[0]["project_id"]} if project else {}
        answer = client.post("/api/v3/assets", files={"file": ("a b.dat", data)}, data=fields)
    assert answer.status_code == 201, answer.text
    made = answer.json()
    assert made["filename"].startswith("a b")
    assert made["size"] == len(data)
    assert answer.headers["location"] == f"/api/v3/assets/{made['id']}"
    assert client.get(answer.headers["location"] + "/data").content == data


def test_a_form_without_a_file_is_refused(client: httpx.Client) -> None:
    """With the name of the field that is missing."""
    answer = client.post("/api/v3/assets", files={"other": ("x", b"y")})
    assert code(answer) == (422, "invalid_request")
    assert answer.json()["errors"][0]["field"] == "file"


def test_a_project_that_is_not_there_is_refused_and_nothing_kept(client: httpx.Client) -> None:
    """Known only after the body: the bytes are given back."""
    before = len(client.get("/api/v3/assets?limit=200").json()["items"])
    answer = client.post("/api/v3/assets", content=b"x", params={"project_id": "pr_none"})
    assert code(answer) == (422, "invalid_request")
    assert answer.json()["errors"][0]["field"] == "project_id"
    assert len(client.get("/api/v3/assets?limit=200").json()["items"]) == before


@pytest.mark.parametrize("form", [False, True])
def test_a_body_that_breaks_off_leaves_nothing(
    server: Server, client: httpx.Client, form: bool
) -> None:
    """The client leaves in the middle: no asset, and the service goes on."""
    before = len(client.get("/api/v3/assets?limit=200").json()["items"])
    address = urlsplit(server.url)
    assert address.hostname and address.port
    key = client.headers["X-API-Key"]
    kind = "multipart/form-data; boundary=b" if form else "video/mp4"
    opening = (
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\n' if form else b""
    )
    with socket.create_connection((address.hostname, address.port)) as raw:
        raw.sendall(
            f"POST /api/v3/assets HTTP/1.1\r\nHost: x\r\nX-API-Key: {key}\r\n"
            f"Content-Type: {kind}\r\nContent-Length: 50000000\r\n\r\n".encode()
        )
        raw.sendall(opening + bytes(9_000_000))
    until(
        lambda: any(line.get("status") in (400, 499) for line in server.log()),
        what=lambda: "the request to end",
    )
    assert len(client.get("/api/v3/assets?limit=200").json()["items"]) == before
    assert not any(line.get("level") == "error" for line in server.log())


def test_names_are_made_safe_and_never_collide(client: httpx.Client) -> None:
    """A second a.bin becomes a-2.bin; tricks in names come to nothing."""
    first, second = upload(client, b"1", "same.bin"), upload(client, b"2", "same.bin")
    assert (first["filename"], second["filename"]) == ("same.bin", "same-2.bin")
    assert second["storage_key"].endswith("/output/same-2.bin")
    for name in ("../../etc/passwd", "a\\..\\b.bin", "\u202eexe.bin", "x" * 900, "..", "a\nb"):
        made = upload(client, b"x", name)
        assert "/" not in made["filename"] and "\\" not in made["filename"]
        assert len(made["filename"].encode()) <= 200
        assert ".." not in made["storage_key"].split("/")
        assert client.get(f"/api/v3/storage/{made['storage_key']}").content == b"x"


def test_many_of_one_name_are_numbered(client: httpx.Client) -> None:
    """In their order, and none twice, also when some have gone for good."""
    made = [upload(client, b"x", "many.bin") for _ in range(20)]
    assert [one["filename"] for one in made] == [
        "many.bin",
        *(f"many-{number}.bin" for number in range(2, 21)),
    ]
    body = {"ids": [one["id"] for one in made[4:9]], "permanent": True}
    client.post("/api/v3/assets/delete", json=body).raise_for_status()
    fresh = {upload(client, b"x", "many.bin")["storage_key"] for _ in range(7)}
    assert len(fresh) == 7
    assert not fresh & {one["storage_key"] for one in made if one["id"] not in body["ids"]}


def test_a_form_says_when_the_file_is_to_go(client: httpx.Client) -> None:
    """As the query does; what is no moment to come is refused, and nothing is kept."""
    moment = "2099-01-31T12:00:00Z"
    before = client.get("/api/v3/assets").json()["all"]
    for wrong in ("soon", "2001-01-01T00:00:00Z", "2099-01-31T12:00:00"):
        for way in ({"data": {"expires_at": wrong}}, {"params": {"expires_at": wrong}}):
            answer = client.post("/api/v3/assets", files={"file": b"x"}, **way)
            assert code(answer) == (422, "invalid_request"), (wrong, way)
    assert client.get("/api/v3/assets").json()["all"] == before
    for way in ({"data": {"expires_at": moment}}, {"params": {"expires_at": moment}}):
        answer = client.post("/api/v3/assets", files={"file": b"x"}, **way)
        assert answer.json()["expires_at"] == moment


def test_renaming_keeps_the_extension_and_moves_the_key(client: httpx.Client) -> None:
    """The type goes with the bytes; the bytes are found under the new key."""
    png = samples.png_with_alpha()
    made = upload(client, png, "old.png")
    path = f"/api/v3/assets/{made['id']}"
    renamed = client.patch(path, json={"filename": "new.html"}).json()
    assert renamed["filename"] == "new.html.png"
    assert client.get(f"/api/v3/storage/{renamed['storage_key']}").content == png
    assert code(client.patch(path, json={"filename": ""})) == (422, "invalid_request")
    assert code(client.patch(path, json={"colour": "red"})) == (422, "invalid_request")
    assert code(client.patch(path, json={"visibility": "everyone"})) == (422, "invalid_request")


def test_lists_are_filtered_and_paged(client: httpx.Client) -> None:
    """By name, kind, role; by cursor without gaps or repeats."""
    names = [f"page {n:02}.bin" for n in range(7)]
    for name in names:
        upload(client, name.encode(), name)
    seen: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page = client.get("/api/v3/assets", params={"q": "PAGE ", "limit": 3, "cursor": cursor})
        seen += [one["filename"] for one in page.json()["items"]]
        cursor = page.json()["next_cursor"]
    assert seen == names[::-1]
    assert client.get("/api/v3/assets", params={"q": "100%_"}).json()["items"] == []
    kinds = {one["kind"] for one in client.get("/api/v3/assets?kind=other").json()["items"]}
    assert kinds == {"other"}
    assert code(client.get("/api/v3/assets?kind=film")) == (422, "invalid_request")
    assert code(client.get("/api/v3/assets?cursor=rubbish")) == (422, "invalid_cursor")
    assert code(client.get("/api/v3/assets?limit=5000")) == (422, "invalid_request")


def test_a_hostile_file_harms_nobody(client: httpx.Client) -> None:
    """It says it is a video; its processing fails, the bytes are served, the service goes on."""
    made = upload(client, b"\x00\x00\x00\x18ftypmp42" + bytes(12) + b"\xff" * 5000, "evil.mp4")
    shown = processed(client, made["id"])
    assert shown["processing_state"] == "failed"
    assert client.get(f"/api/v3/assets/{made['id']}/data").status_code == 200


@pytest.mark.parametrize(
    ("role", "source"),
    [("upload", None), ("combined", None), ("download", "https://example.org/watch?v=1")],
)
def test_what_can_be_had_from_nowhere_is_not_saved(
    server: Server, client: httpx.Client, role: str, source: str | None
) -> None:
    """It is said at once. What is at a download's URL may be the page around the video."""
    made = upload(client, b"lost since", f"{role}.bin")
    with closing(sqlite3.connect(server.folder / "reelbase.db")) as db:
        db.execute(
            "UPDATE asset SET storage_state = 'expired', role = ?, source_url = ? WHERE id = ?",
            (role, source, made["id"]),
        )
        db.commit()
    assert code(client.post(f"/api/v3/assets/{made['id']}/save")) == (409, "not_savable")
    shown = client.get(f"/api/v3/assets/{made['id']}").json()
    assert shown["storage_state"] == "expired"


def test_deleting_gives_the_poster_back_too(client: httpx.Client) -> None:
    """The answer tells what went."""
    made = upload(client, samples.video(width=64, height=48))
    shown = processed(client, made["id"])
    answer = client.delete(f"/api/v3/assets/{made['id']}").json()
    assert answer["assets"] == 2
    assert answer["bytes"] > int(str(made["size"]))
    assert code(client.get(f"/api/v3/assets/{shown['poster_id']}")) == (404, "not_found")
