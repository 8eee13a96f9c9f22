"""What is in the trash can be looked at by its owner, and by nobody else."""

import httpx

from tests.api import new_user, upload
from tests.running import Server


def test_only_the_owner_sees_what_is_in_the_trash(server: Server, client: httpx.Client) -> None:
    """With a key, and when it is asked for: no link works, nobody else learns of it."""
    made = upload(client, b"seen before it goes", "gone.bin")
    path = f"/api/v3/assets/{made['id']}/data"
    client.delete(f"/api/v3/assets/{made['id']}").raise_for_status()
    assert client.get(path).status_code == 404

    answer = client.get(path, params={"trashed": "true"})
    assert answer.content == b"seen before it goes"
    # It may go at any moment: no cache may keep it.
    assert answer.headers["Cache-Control"] == "private, no-cache"
    with server.client(None) as nobody:
        assert nobody.get(made["url"]).status_code == 401
        assert nobody.get(made["url"] + "&trashed=true").status_code == 401
        assert nobody.get(path, params={"trashed": "true"}).status_code == 401
    _, key = new_user(client, "somebody else")
    with server.client(key) as other:
        assert other.get(path, params={"trashed": "true"}).status_code == 404

    client.delete(f"/api/v3/assets/{made['id']}", params={"permanent": True}).raise_for_status()
    assert client.get(path, params={"trashed": "true"}).status_code == 404
