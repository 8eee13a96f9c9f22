"""`reelbase import-bucket`, from a real S3 server: where objects go, and what is not copied."""

import csv
import json
import os
import signal
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import obstore
import pytest
from obstore.store import S3Store

from server.library.moving import places
from tests.changes import halt
from tests.inside import inside
from tests.integration.library.commands import good, reelbase
from tests.old_installation import sha256
from tests.running import Command, Server
from tests.samples import jpeg, video
from tests.seaweed import Seaweed, seaweed

FLAT = "20250417103342.mp4"
CLIP = "users/ann/projects/Film/scenes/Opening/video/a clip #1.mp4"
OUT = "users/ann/projects/Film/output/whole.mp4"
LARGE = "users/ben/projects/Raw/output/large.bin"


@pytest.fixture(scope="module")
def weed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seaweed]:
    with seaweed(tmp_path_factory.mktemp("weed")) as started:
        yield started


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with inside(tmp_path_factory.mktemp("server") / "data") as started:
        yield started


class Bucket:
    """A bucket of its own for each test."""

    def __init__(self, weed: Seaweed, server: Server) -> None:
        self.name = f"old-{uuid4().hex[:8]}"
        self.url = f"s3://{self.name}"
        self.environment = {**weed.environment, "REELBASE_DATA_DIR": str(server.folder)}
        self._store = S3Store(
            self.name,
            endpoint=weed.environment["AWS_ENDPOINT_URL"],
            access_key_id=weed.environment["AWS_ACCESS_KEY_ID"],
            secret_access_key=weed.environment["AWS_SECRET_ACCESS_KEY"],
            region="us-east-1",
            client_options={"allow_http": True},
        )

    def put(self, key: str, data: bytes, **options: Any) -> bytes:
        obstore.put(self._store, key, data, **options)
        return data

    def listed(self) -> list[tuple[Any, ...]]:
        return sorted(
            (one["path"], one["size"], one["e_tag"], one["last_modified"])
            for page in obstore.list(self._store)
            for one in page
        )

    def imported(self, *arguments: str | Path) -> Any:
        return good("import-bucket", self.url, *arguments, **self.environment)


@pytest.fixture
def bucket(weed: Seaweed, server: Server) -> Bucket:
    return Bucket(weed, server)


def test_objects_are_filed_by_their_keys_and_answer_to_them(bucket: Bucket, server: Server) -> None:
    """Plain and percent-encoded, at v1 and v3; a second import finds nothing to do."""
    clip, out, flat = video(), video(frames=12), video(frames=6)
    large = os.urandom(12_000_000)
    for key, data in ((FLAT, flat), (CLIP, clip), (OUT, out), ("empty", b"")):
        bucket.put(key, data)
    # In parts: an ETag that is no MD5 of the whole.
    bucket.put(LARGE, large, use_multipart=True, chunk_size=5 * 1024 * 1024)
    before = bucket.listed()
    told = bucket.imported("--dry-run")
    with server.client() as admin:
        assert admin.get(f"/api/v1/storage/{FLAT}").status_code == 404
        done = bucket.imported()
        assert done["assets"] == {
            "imported": 4,
            "bytes": sum(map(len, (clip, out, flat, large))),
            "present": 0,
        }
        for name in ("assets", "projects", "scenes", "skipped", "needed"):
            assert told[name] == done[name], name
        assert (done["projects"], done["scenes"]) == (2, 1)
        assert [one["what"] for one in done["skipped"]] == ["empty"]
        for key, data in ((FLAT, flat), (CLIP, clip), (OUT, out), (LARGE, large)):
            for version in ("v1", "v3"):
                for spelt in (quote(key), quote(key, safe="")):
                    got = admin.get(f"/api/{version}/storage/{spelt}")
                    assert got.status_code == 200, (version, spelt)
                    assert sha256(got.content) == sha256(data)
        people = {one["name"]: one["id"] for one in admin.get("/api/v3/users").json()["items"]}
        [found] = admin.get(
            "/api/v3/assets", params={"user_id": people["ann"], "q": "clip"}
        ).json()["items"]
        project = admin.get(f"/api/v3/projects/{found['project_id']}").json()
        assert project["name"] == "Film"
        [scene] = admin.get(f"/api/v3/projects/{project['id']}/scenes").json()["items"]
        assert (scene["id"], scene["name"]) == (found["scene_id"], "Opening")
        assert scene["media_asset_id"] == found["id"]
        assert found["storage_key"] == (
            f"users/{people['ann']}/projects/{project['id']}/scenes/{scene['id']}"
            f"/video/{found['filename']}"
        )
        [flat_asset] = admin.get("/api/v3/assets", params={"q": FLAT}).json()["items"]
        assert flat_asset["project_id"] not in (None, project["id"])
    again = bucket.imported()
    assert (again["assets"]["imported"], again["assets"]["present"]) == (0, 4)
    assert bucket.listed() == before


def test_a_changed_object_comes_anew_and_has_the_key(bucket: Bucket, server: Server) -> None:
    bucket.put("changing.bin", b"before")
    bucket.imported("--public")
    bucket.put("changing.bin", b"behind")
    assert bucket.imported("--public")["assets"]["imported"] == 1
    with server.client(None) as anybody:
        assert anybody.get("/api/v3/storage/changing.bin").content == b"behind"


@pytest.mark.parametrize("form", ["json", "csv"])
def test_a_mapping_says_whose_it_is_and_who_may_see_it(
    bucket: Bucket, server: Server, tmp_path: Path, form: str
) -> None:
    """By names or ids; what it leaves open the key tells."""
    flat, filed = f"{form}-flat.jpg", f"users/cid/projects/{form}/output/{form}-filed.jpg"
    data = bucket.put(flat, jpeg())
    bucket.put(filed, data)
    bucket.put(f"{form}-other.jpg", data)
    rows = [
        {"key": flat, "user": "dora", "project": f"Trip {form}", "scene": "One", "public": "true"},
        {"key": filed, "user": "", "project": "", "scene": "", "public": "yes"},
        {"key": "nothing.jpg", "user": "dora", "project": "", "scene": "", "public": ""},
    ]
    path = tmp_path / f"map.{form}"
    if form == "json":
        path.write_text(json.dumps({row["key"]: {**row, "public": True} for row in rows}))
    else:
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    done = bucket.imported("--map", path)
    assert done["assets"]["imported"] == 3
    assert "Keys of the mapping that are not in the bucket: 1 (nothing.jpg)" in done["notes"]
    with server.client(None) as anybody, server.client() as admin:
        assert anybody.get(f"/api/v1/storage/{flat}").content == data
        assert anybody.get(f"/api/v1/storage/{quote(filed, safe='')}").content == data
        assert anybody.get(f"/api/v1/storage/{form}-other.jpg").status_code == 401
        people = {one["name"]: one["id"] for one in admin.get("/api/v3/users").json()["items"]}
        params = {"user_id": people["dora"], "q": flat}
        [found] = admin.get("/api/v3/assets", params=params).json()["items"]
        assert found["scene_id"]
        project = admin.get(f"/api/v3/projects/{found['project_id']}").json()
        assert project["name"] == f"Trip {form}"
        params = {"user_id": people["cid"], "q": f"{form}-filed"}
        assert len(admin.get("/api/v3/assets", params=params).json()["items"]) == 1


def test_a_prefix_is_a_part_of_the_old_key_and_may_be_left_out(
    bucket: Bucket, server: Server
) -> None:
    """Whichever the old service was asked for."""
    bucket.put("media/deep/inside.bin", b"inside")
    bucket.put("elsewhere/outside.bin", b"outside")
    bucket.url += "/media"
    assert bucket.imported("--public")["assets"]["imported"] == 1
    with server.client(None) as anybody:
        for key in ("media/deep/inside.bin", "deep/inside.bin"):
            assert anybody.get(f"/api/v3/storage/{key}").content == b"inside"


def test_an_import_that_is_killed_goes_on_without_copying_twice(
    bucket: Bucket, server: Server, tmp_path: Path
) -> None:
    """Each object is a transaction of its own, bytes, names and all."""
    for number in range(6):
        bucket.put(f"users/eve/projects/Kill/output/{number}.bin", os.urandom(6_000_000))
    # In the middle of the third.
    stop = halt(tmp_path, 15_000_000)
    environment = {"REELBASE_MIN_FREE_BYTES": "0", **bucket.environment}
    importing = Command("import-bucket", bucket.url, change=stop, **environment)
    with server.client() as admin:

        def come() -> int:
            everybody = admin.get("/api/v3/usage").json()["system"]["users"]
            return sum(one["assets"] for one in everybody if one["name"] == "eve")

        with stop.reached(importing):
            importing.send_signal(signal.SIGKILL)
            importing.wait()
        assert come() == 2
        again = bucket.imported()
        assert again["assets"]["imported"] == 4
        assert again["assets"]["present"] == 2
        assert come() == 6
        for number in range(6):
            key = f"users/eve/projects/Kill/output/{number}.bin"
            got = admin.get(f"/api/v3/storage/{key}")
            assert (got.status_code, len(got.content)) == (200, 6_000_000)


def test_what_cannot_be_imported_is_refused_in_words(
    bucket: Bucket, server: Server, tmp_path: Path
) -> None:
    environment = bucket.environment
    assert reelbase("import-bucket", "/a/folder", **environment).exit_code == 2
    result = reelbase("import-bucket", bucket.url, **environment)
    assert result.exit_code == 1
    assert "does not exist (NoSuchBucket)" in result.output
    wrong = {**environment, "AWS_SECRET_ACCESS_KEY": "wrong"}
    bucket.put("x", b"x")
    result = reelbase("import-bucket", bucket.url, **wrong)
    assert result.exit_code == 1
    assert "wrong" not in result.output
    mapping = tmp_path / "map.json"
    for text, words in (
        ('[{"user": "a"}]', "Entry 1 .* has no key"),
        ('{"k": {"projct": "a"}}', "'projct', which is none of"),
        ('{"k": {"scene": "a"}}', "without its project"),
        ('{"k": {"public": "perhaps"}}', "true or false"),
        ('{"k": 7}', "Entry 1 .* is not an object"),
        ('{"key": 5}', "Entry 1 .* is not an object"),
        ('[{"key": "k"}, "other"]', "Entry 2 .* is not an object"),
        ('{"k": {"key": 5}}', "Entry 1 .* has no key"),
        ("[1", "neither JSON nor CSV"),
        ("", "names no column 'key'"),
        ("name,user\n", "names no column 'key'"),
        (f"key\n{'k' * 200_000}", "field larger than"),
    ):
        mapping.write_text(text)
        with pytest.raises(Exception, match=words):
            places.load_map(mapping)
        result = reelbase("import-bucket", bucket.url, "--map", mapping, **environment)
        assert result.exit_code == 2


class _OneBadKey(BaseHTTPRequestHandler):
    """A bucket that has what SeaweedFS would not take."""

    def do_GET(self) -> None:
        listed = "".join(
            f"<Contents><Key>{key}</Key><LastModified>2025-01-01T00:00:00.000Z</LastModified>"
            "<ETag>x</ETag><Size>1</Size></Contents>"
            for key in ("a.mp4", "media//b.mp4")
        )
        answer = f"<ListBucketResult>{listed}</ListBucketResult>".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: Any) -> None:
        pass


def test_a_key_that_cannot_be_read_is_named_with_the_way_around(server: Server) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), _OneBadKey) as s3:
        Thread(target=s3.serve_forever).start()
        environment = {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{s3.server_port}",
            "AWS_ACCESS_KEY_ID": "a",
            "AWS_SECRET_ACCESS_KEY": "b",
            "AWS_REGION": "us-east-1",
            "REELBASE_DATA_DIR": str(server.folder),
        }
        result = reelbase("import-bucket", "s3://bucket", **environment)
        s3.shutdown()
    assert result.exit_code == 1
    assert '"media//b.mp4"' in result.output
    assert "Import prefixes without them (s3://bucket/PREFIX)" in result.output


@pytest.mark.parametrize(
    ("key", "wanted"),
    [
        ("a.mp4", places.Wanted()),
        ("thumbs/a.png", places.Wanted()),
        ("users/u/a.mp4", places.Wanted("u")),
        ("users/u/projects/p/output/a.mp4", places.Wanted("u", "p")),
        ("users/u/projects/p/scenes/s/video/a.mp4", places.Wanted("u", "p", "s")),
        ("media/users/u/projects/p/scenes/s/a.mp4", places.Wanted("u", "p", "s")),
        ("users/u", places.Wanted()),
        ("users/u/projects/a.mp4", places.Wanted("u")),
    ],
)
def test_what_a_key_says(key: str, wanted: places.Wanted) -> None:
    assert places.of_key(key) == wanted
