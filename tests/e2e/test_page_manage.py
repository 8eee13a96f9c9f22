"""Managing, in the page: projects, storyboards, the trash, usage, keys, users."""

import re
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Page, ViewportSize, expect

from tests import samples
from tests.api import new_user, upload
from tests.e2e.browser import (
    DESKTOP,
    PHONE,
    all_shown,
    opened,
    overflow,
    sign_in,
    turn_to,
    visit,
)
from tests.running import KEY, Server, until


def section(page: Page, name: str) -> None:
    """Another part of Manage, by its own navigation."""
    ways = page.get_by_role("navigation", name="Manage", exact=True)
    ways.get_by_role("link", name=name).click()
    expect(page.get_by_role("heading", level=1, name=name)).to_be_focused()


def project(client: httpx.Client, name: str) -> dict[str, Any]:
    """A new project."""
    made: dict[str, Any] = client.post("/api/v3/projects", json={"name": name}).json()
    return made


def names(page: Page) -> list[str]:
    """The scenes on the board, in the order in which they stand."""
    found: list[str] = page.locator(".scene-name").evaluate_all(
        "all => all.map((one) => one.value)"
    )
    return found


def test_a_project_is_made_renamed_deleted_and_had_back(
    server: Server, browser: Browser, client: httpx.Client
) -> None:
    """Deleting says what goes and Undo brings all of it back."""
    with opened(browser, server.url) as page:
        sign_in(page, KEY)
        visit(page, "Manage")
        section(page, "Projects")
        page.get_by_role("button", name="New project").click()
        page.get_by_label("Name", exact=True).fill("Night shots")
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", level=1, name="Night shots")).to_be_focused()
        (made,) = (
            one
            for one in client.get("/api/v3/projects").json()["items"]
            if one["name"] == "Night shots"
        )
        for number in range(3):
            upload(client, samples.image("PNG"), f"night-{number}.png", project_id=made["id"])

        page.get_by_role("button", name="Rename the project").click()
        page.get_by_label("Name", exact=True).fill("Day for night")
        page.get_by_role("button", name="Save").click()
        expect(page.get_by_role("heading", level=1, name="Day for night")).to_be_visible()
        page.get_by_role("link", name="All projects").click()
        card = page.get_by_role("listitem").filter(has_text="Day for night")
        expect(card).to_contain_text("3 assets")
        expect(card.locator("img")).to_have_count(3)
        all_shown(page, client, "night-")

        card.get_by_role("button", name="Delete Day for night").click()
        asked = page.get_by_role("dialog")
        expect(asked).to_contain_text(re.compile(r"3 assets \([\d.]+ K?B\) go with it"))
        asked.get_by_role("button", name="Keep").click()
        expect(card).to_be_visible()
        card.get_by_role("button", name="Delete Day for night").click()
        page.get_by_role("dialog").get_by_role("button", name="Delete", exact=True).click()
        expect(card).to_have_count(0)
        assert client.get("/api/v3/assets", params={"q": "night-"}).json()["items"] == []
        page.get_by_role("button", name="Undo").click()
        expect(card).to_contain_text("3 assets")
        assert len(client.get("/api/v3/assets", params={"q": "night-"}).json()["items"]) == 3

        # The one that everything else is in says so.
        page.get_by_role("button", name="Delete Default", exact=True).click()
        expect(asked).to_contain_text("the default project, with whatever was put into no other")
        asked.get_by_role("button", name="Keep").click()


def test_a_storyboard_is_arranged(server: Server, browser: Browser, client: httpx.Client) -> None:
    """Scenes get names, a status, a picture and a sound, and are put in order in two ways."""
    made = project(client, "Harbour film")
    shot = upload(client, samples.video(), "harbour.mp4", project_id=made["id"])
    sound = upload(client, samples.audio(), "gulls.wav", project_id=made["id"])
    path = f"/api/v3/projects/{made['id']}/scenes"

    def scenes() -> list[dict[str, Any]]:
        listed: list[dict[str, Any]] = client.get(path).json()["items"]
        return listed

    with opened(browser, server.url) as page:
        page.goto(f"/#/manage/projects/{made['id']}")
        sign_in(page, KEY, "Harbour film")
        page.get_by_role("button", name="Make the first scene").click()
        for number, name in enumerate(("Arrival", "Market", "Storm"), 1):
            # A new one's name is there to be typed over.
            field = page.get_by_label(f"Name of scene {number}", exact=True)
            expect(field).to_be_focused()
            page.keyboard.type(name)
            page.keyboard.press("Enter")
            until(lambda name=name: any(one["name"] == name for one in scenes()))
            if number < 3:
                page.get_by_role("button", name="New scene").click()
        page.get_by_label("Status of Storm").fill("ready")
        page.keyboard.press("Enter")
        until(lambda: scenes()[2]["status"] == "ready")

        card = page.locator(".scene").filter(has=page.get_by_label("Name of scene 1", exact=True))
        card.get_by_role("button", name="Choose what Arrival shows").click()
        dialog = page.get_by_role("dialog")
        dialog.get_by_role("button", name="harbour.mp4").click()
        expect(card.get_by_role("link", name="Watch harbour.mp4")).to_be_visible()
        card.get_by_role("button", name="Add sound to Arrival").click()
        dialog.get_by_label("Search names and prompts").fill("gulls")
        dialog.get_by_role("button", name="gulls.wav").click()
        expect(card.get_by_label("Sound of Arrival: gulls.wav")).to_be_visible()
        assert scenes()[0]["media_asset_id"] == shot["id"]
        assert scenes()[0]["audio_asset_id"] == sound["id"]

        # By the keyboard: the button keeps the focus, the new place is said.
        page.get_by_role("button", name="Move Storm earlier").focus()
        page.keyboard.press("Enter")
        expect(page.locator("#announcer")).to_have_text("Storm is now 2 of 3.")
        assert names(page) == ["Arrival", "Storm", "Market"]
        expect(page.get_by_role("button", name="Move Storm earlier")).to_be_focused()
        # By the pointer.
        frames = page.locator(".scene .frame")
        frames.nth(2).drag_to(frames.nth(0), target_position={"x": 10, "y": 20})
        until(lambda: [one["name"] for one in scenes()] == ["Market", "Arrival", "Storm"])
        until(lambda: names(page) == ["Market", "Arrival", "Storm"])

        page.get_by_role("button", name="Delete Market").click()
        expect(page.locator(".scene")).to_have_count(2)
        page.get_by_role("button", name="Undo").click()
        until(lambda: names(page) == ["Market", "Arrival", "Storm"])
        page.get_by_role("link", name="Show the assets of Arrival").click()
        expect(page.get_by_role("heading", level=1, name="Library")).to_be_visible()


def test_the_trash_gives_back_and_lets_go(
    server: Server, browser: Browser, client: httpx.Client
) -> None:
    """Assets with their pictures, projects and scenes: one, several, all; then it is emptied."""
    kept = project(client, "Kept")
    gone = project(client, "Gone with it")
    inside = upload(client, samples.image("PNG"), "inside.png", project_id=gone["id"])
    scene = client.post(f"/api/v3/projects/{kept['id']}/scenes", json={"name": "Cut scene"}).json()
    made = [upload(client, samples.image("PNG"), f"scrap-{n}.png") for n in range(4)]
    clip = upload(client, samples.video(), "reel.mp4")
    until(lambda: client.get(f"/api/v3/assets/{clip['id']}").json()["poster_id"])
    client.delete("/api/v3/trash").raise_for_status()
    client.delete(f"/api/v3/projects/{gone['id']}").raise_for_status()
    client.delete(f"/api/v3/projects/{kept['id']}/scenes/{scene['id']}").raise_for_status()
    ids = [one["id"] for one in (*made, clip)]
    client.post("/api/v3/assets/delete", json={"ids": ids}).raise_for_status()

    def there(asset: dict[str, Any]) -> bool:
        return client.get(f"/api/v3/assets/{asset['id']}").status_code == 200

    with opened(browser, server.url) as page:
        sign_in(page, KEY)
        page.get_by_role("link", name="Trash").click()
        expect(page.get_by_role("heading", level=1, name="Trash")).to_be_focused()
        # One place, by whichever way: the address of before leads there, too.
        page.goto("/#/library/trash")
        page.wait_for_url("**/#/manage/trash")
        current = page.locator("nav [aria-current=page]")
        expect(current).to_have_text(["Manage", "Trash"])
        tiles = page.get_by_role("list", name="Assets in the trash").get_by_role("listitem")
        expect(tiles).to_have_count(6)
        reel = tiles.filter(has_text="reel.mp4")
        expect(reel).to_contain_text("7 days left")
        picture = reel.locator("img")
        until(lambda: picture.evaluate("image => image.naturalWidth > 0"))
        scrap = tiles.filter(has_text="scrap-3").locator("img")
        until(lambda: scrap.evaluate("image => image.naturalWidth > 0"))

        tiles.filter(has_text="scrap-0").get_by_role("button", name="Restore").click()
        expect(tiles).to_have_count(5)
        assert there(made[0])
        for number in (1, 2):
            page.get_by_role("checkbox", name=f"Choose scrap-{number}.png").check()
        expect(page.get_by_text("2 chosen")).to_be_visible()
        page.get_by_role("button", name="Restore", exact=True).click()
        expect(tiles).to_have_count(3)
        assert there(made[1])
        assert there(made[2])

        tiles.filter(has_text="scrap-3").get_by_role("button", name="for good").click()
        dialog = page.get_by_role("dialog")
        expect(dialog).to_contain_text("cannot be undone")
        dialog.get_by_role("button", name="Delete for good").click()
        expect(tiles).to_have_count(2)
        holders = page.get_by_role("list", name="Projects and scenes in the trash")
        holders.get_by_role("button", name="Restore Gone with it").click()
        expect(tiles).to_have_count(1)
        assert there(inside)
        page.get_by_role("button", name="Restore all").click()
        expect(page.get_by_text("The trash is empty.", exact=True).first).to_be_visible()
        assert there(clip)
        scenes = client.get(f"/api/v3/projects/{kept['id']}/scenes").json()["items"]
        assert [one["name"] for one in scenes] == ["Cut scene"]

        client.delete(f"/api/v3/assets/{clip['id']}").raise_for_status()
        # A picture on its way when its bytes go would be an error in the console.
        until(lambda: picture.evaluate("image => image.naturalWidth > 0"))
        page.get_by_role("button", name="Empty the trash").click()
        expect(dialog).to_contain_text(re.compile(r"Up to [\d.]+ K?B come back"))
        dialog.get_by_role("button", name="Empty the trash").click()
        expect(page.locator(".toast", has_text="come back")).to_be_visible()
        expect(page.get_by_role("heading", level=1)).to_be_focused()
        trash = {"trashed": "true"}
        assert client.get("/api/v3/assets", params=trash).json()["items"] == []


def test_usage_is_told_in_words(server: Server, browser: Browser, client: httpx.Client) -> None:
    """One's own part with the quota, the volume; for an admin the whole; drafts are swept."""
    user_id, key = new_user(client, "Nils")
    client.patch(
        f"/api/v3/users/{user_id}", json={"max_bytes": 2_000_000, "max_assets": 50}
    ).raise_for_status()
    with server.client(key) as his:
        box = project(his, "Box")
        upload(his, b"x" * 500_000, "half.bin", project_id=box["id"])
    with opened(browser, server.url) as page:
        page.goto("/#/manage/usage")
        sign_in(page, key, "Usage")
        words = page.locator("#view")
        expect(words).to_contain_text("Your quota is 2.0 MB: 25 % are used, 1.5 MB are left.")
        expect(words).to_contain_text("You may have 50 assets; there are 1.")
        expect(page.get_by_role("listitem").filter(has_text="Box")).to_contain_text("500 KB")
        expect(words).to_contain_text(re.compile(r"[\d.]+ GB are free"))
        expect(page.get_by_text("The whole installation")).to_have_count(0)
        page.get_by_role("button", name="Sweep up drafts").click()
        page.get_by_role("dialog").get_by_role("button", name="Sweep", exact=True).click()
        expect(page.get_by_text("There were no drafts.")).to_be_visible()
    with opened(browser, server.url) as page:
        page.goto("/#/manage/usage")
        sign_in(page, KEY, "Usage")
        system = page.locator(".panel", has_text="The whole installation")
        expect(system.get_by_role("listitem").filter(has_text="Nils")).to_contain_text(
            "500 KB of 2.0 MB, 1 asset"
        )
        expect(system.get_by_role("listitem").filter(has_text="Uploaded")).to_be_visible()
        expect(system).to_contain_text("Reclaimable")


def test_a_key_is_shown_once_and_revoked(
    server: Server, browser: Browser, client: httpx.Client
) -> None:
    """With what it may do and until when; copied; nobody is shown it again."""
    with opened(browser, server.url) as page:
        page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        sign_in(page, KEY)
        visit(page, "Manage")
        section(page, "API keys")
        page.get_by_role("button", name="New key").click()
        dialog = page.get_by_role("dialog")
        dialog.get_by_label("Name", exact=True).fill("Cutting room")
        dialog.get_by_role("checkbox", name="Generate").uncheck()
        dialog.get_by_label("Good for").select_option("30 days")
        dialog.get_by_role("button", name="Make the key").click()
        key = page.get_by_label("The new key").input_value()
        expect(dialog).to_contain_text("nobody can show it again")
        dialog.get_by_role("button", name="Copy", exact=True).click()
        expect(dialog.get_by_text("Copied.")).to_be_visible()
        assert page.evaluate("navigator.clipboard.readText()") == key
        # By a slip nobody loses it.
        expect(dialog.get_by_role("button", name="Close")).to_have_count(0)
        page.keyboard.press("Escape")
        page.keyboard.press("Escape")
        page.go_back()
        expect(page.get_by_role("heading", level=1, name="Manage")).to_be_attached()
        expect(page.get_by_label("The new key")).to_have_value(key)
        page.go_forward()
        expect(page.get_by_role("heading", level=1, name="API keys")).to_be_attached()
        dialog.get_by_role("button", name="I have it").click()
        expect(page.get_by_label("The new key")).to_have_count(0)
        assert key not in page.content()

        row = page.get_by_role("list", name="Keys", exact=True).get_by_role("listitem")
        row = row.filter(has_text="Cutting room")
        expect(row.locator(".chip")).to_have_text(["Read", "Write"])
        expect(row).to_contain_text("Never used, good until")
        with server.client(key) as holder:
            assert holder.get("/api/v3/assets").status_code == 200
            row.get_by_role("button", name="Revoke").click()
            expect(dialog).to_contain_text("cannot be undone")
            dialog.get_by_role("button", name="Revoke").click()
            expect(row).to_have_count(0)
            assert holder.get("/api/v3/assets").status_code == 401
        page.get_by_text("revoked or expired").click()
        past = page.get_by_role("list", name="not good any more")
        expect(past.get_by_text("Cutting room")).to_be_visible()

        page.get_by_role("button", name="Show the secret").click()
        secret = client.get("/api/v3/webhook-secret").json()["secret"]
        expect(page.get_by_label("Secret", exact=True)).to_have_value(secret)
        expect(page.get_by_label("Secret", exact=True)).to_be_focused()


def test_revoking_ones_own_key_says_what_it_means(
    server: Server, browser: Browser, client: httpx.Client
) -> None:
    """The key of this browser is marked; the last one of an admin leads to the command line."""
    made = client.post("/api/v3/keys", json={"name": "Laptop", "scopes": ["read", "write"]}).json()
    with opened(browser, server.url, expected=("status of 401",)) as page:
        page.goto("/#/manage/keys")
        sign_in(page, made["key"], "API keys")
        row = page.get_by_role("list", name="Keys", exact=True).get_by_role("listitem")
        mine = row.filter(has_text="This browser")
        expect(mine).to_have_count(1)
        expect(mine).to_contain_text("Laptop")
        dialog = page.get_by_role("dialog")
        # The server would refuse: that key can do more than this one.
        expect(row.locator(".line-name", has_text="bootstrap")).to_be_visible()
        expect(page.get_by_role("button", name="Revoke bootstrap")).to_have_count(0)
        mine.get_by_role("button", name="Revoke").click()
        expect(dialog).to_contain_text("You are signed in with it here: you will be signed out.")
        dialog.get_by_role("button", name="Revoke").click()
        expect(page.get_by_text("Your session has ended")).to_be_visible()

        # An admin sees how many keys are left by which there is one.
        sign_in(page, KEY, "API keys")
        page.reload()
        expect(mine).to_contain_text("bootstrap")
        mine.get_by_role("button", name="Revoke").click()
        expect(dialog).to_contain_text("It is the last good key of an admin")
        expect(dialog).to_contain_text("reelbase keys create")
        dialog.get_by_role("button", name="Keep").click()


@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_a_key_is_revoked_with_what_it_made(
    server: Server, browser: Browser, client: httpx.Client, viewport: ViewportSize
) -> None:
    """Asked, not done by the way; the list says which key made which."""
    _, key = new_user(client, f"holder {viewport['width']}")

    def make(maker: str, name: str) -> str:
        with server.client(maker) as holder:
            body = {"name": name, "scopes": ["read", "write"]}
            return str(holder.post("/api/v3/keys", json=body).raise_for_status().json()["key"])

    first, other = make(key, "Leaked"), make(key, "Editing")
    second = make(first, "From Leaked")
    third = make(second, "From that")
    with opened(browser, server.url, viewport=viewport) as page:
        page.goto("/#/manage/keys")
        sign_in(page, key, "API keys")
        row = page.get_by_role("list", name="Keys", exact=True).get_by_role("listitem")
        expect(row.filter(has_text="From that")).to_contain_text("Made by From Leaked.")
        expect(row.filter(has_text="This browser")).not_to_contain_text("Made by")
        assert overflow(page) == []
        dialog = page.get_by_role("dialog")
        page.get_by_role("button", name="Revoke Editing").click()
        expect(dialog.get_by_role("checkbox")).to_have_count(0)
        dialog.get_by_role("button", name="Revoke").click()
        expect(row.filter(has_text="Editing")).to_have_count(0)

        page.get_by_role("button", name="Revoke Leaked", exact=True).click()
        also = dialog.get_by_role(
            "checkbox", name="Also revoke the 2 keys that it made: From Leaked, From that"
        )
        expect(also).not_to_be_checked()
        also.check()
        assert overflow(page) == []
        dialog.get_by_role("button", name="Revoke").click()
        expect(row).to_have_count(1)
    for revoked in (first, second, third, other):
        with server.client(revoked) as holder:
            assert holder.get("/api/v3/assets").status_code == 401


def test_an_admin_manages_users(server: Server, browser: Browser, client: httpx.Client) -> None:
    """Makes one with a quota in human units, a key for it, limits it, deletes it, has it back."""
    with opened(browser, server.url) as page:
        page.goto("/#/manage/users")
        sign_in(page, KEY, "Users")
        dialog = page.get_by_role("dialog")
        page.get_by_role("button", name="New user").click()
        page.evaluate("location.hash = '/manage/usage'")
        expect(page.get_by_role("heading", level=1, name="Usage")).to_be_focused()
        expect(dialog).to_have_count(0)
        section(page, "Users")
        page.get_by_role("button", name="New user").click()
        dialog.get_by_label("Name", exact=True).fill("Ada")
        dialog.get_by_label("Storage at most").fill("1.5")
        dialog.get_by_label("Unit of the quota").select_option("GB")
        dialog.get_by_role("button", name="Create").click()
        row = page.get_by_role("list", name="Users", exact=True).get_by_role("listitem")
        row = row.filter(has_text="Ada")
        expect(row).to_contain_text("0 B of 1.5 GB")

        row.get_by_role("button", name="Change Ada").click()
        expect(dialog.get_by_label("Storage at most")).to_have_value("1.5")
        dialog.get_by_label("Storage at most").fill("")
        dialog.get_by_label("Assets at most").fill("40")
        dialog.get_by_role("button", name="Save").click()
        expect(row).to_contain_text("0 B, 0 of 40 assets")

        row.get_by_role("link", name="Make a key for Ada").click()
        expect(dialog.get_by_label("For", exact=True)).to_have_value(re.compile("^us_"))
        dialog.get_by_label("Name", exact=True).fill("Ada's first")
        expect(dialog.get_by_role("checkbox", name="Admin")).to_be_disabled()
        dialog.get_by_label("For", exact=True).select_option(label="admin (you)")
        dialog.get_by_role("checkbox", name="Admin").check()
        dialog.get_by_label("For", exact=True).select_option(label="Ada")
        expect(dialog.get_by_role("checkbox", name="Admin")).to_be_disabled()
        expect(dialog.get_by_role("checkbox", name="Admin")).not_to_be_checked()
        dialog.get_by_role("button", name="Make the key").click()
        key = page.get_by_label("The new key").input_value()
        with server.client(key) as hers:
            assert hers.get("/api/v3/session").json()["name"] == "Ada"
            dialog.get_by_role("button", name="I have it").click()
            expect(page.get_by_text("Of Ada.")).to_be_visible()

            section(page, "Users")
            row.get_by_role("button", name="Delete Ada").click()
            dialog.get_by_role("button", name="Delete", exact=True).click()
            expect(row).to_have_count(0)
            assert hers.get("/api/v3/assets").status_code == 401
            page.get_by_role("button", name="Restore Ada").click()
            expect(row).to_have_count(1)
            assert hers.get("/api/v3/assets").status_code == 200

        # Oneself is not to be deleted by a slip.
        mine = page.get_by_role("listitem").filter(has_text=re.compile("^admin"))
        expect(mine.get_by_text("You", exact=True)).to_be_visible()
        expect(mine.get_by_role("button", name="Delete")).to_have_count(0)


def test_the_first_visit_tells_what_to_do(
    server: Server, browser: Browser, client: httpx.Client
) -> None:
    """An empty library leads to a clip in a few clicks; what is to be set up is said."""
    _, key = new_user(client, "Newcomer")
    with opened(browser, server.url) as page:
        sign_in(page, key)
        view = page.locator("#view")
        expect(view).to_contain_text("No provider is set up")
        expect(view).to_contain_text("REPLICATE_API_TOKEN=")
        page.get_by_role("button", name="Add from a URL").click()
        expect(page.get_by_role("dialog").locator("input[type=url]")).to_be_focused()
        page.keyboard.press("Escape")
        page.get_by_role("button", name="Generate your first clip").click()
        page.get_by_role("heading", level=1, name="Generate").wait_for()
        page.get_by_role("button", name="Generate", exact=True).click()
        visit(page, "Library")
        tile = page.locator("#library").get_by_text("A paper boat crosses a puddle").first
        expect(tile).to_be_visible()
        expect(page.get_by_text("Nothing shot yet")).to_be_hidden()


def test_nobody_but_an_admin_sees_users(
    server: Server, browser: Browser, client: httpx.Client
) -> None:
    """There is no way to it, and its address says so."""
    _, key = new_user(client, "Plain")
    with opened(browser, server.url, viewport=PHONE) as page:
        sign_in(page, key)
        visit(page, "Manage")
        expect(page.get_by_role("link", name="Users")).to_have_count(0)
        page.goto("/#/manage/users")
        expect(page.get_by_role("heading", level=1, name="Not found")).to_be_focused()
        expect(page.get_by_role("button", name="Try again")).to_have_count(0)


def test_nothing_of_it_sticks_out_on_a_phone(
    server: Server, browser: Browser, client: httpx.Client
) -> None:
    """With long names, at 360 px."""
    long = "ALongNameWithoutAnySpaceInItWhatsoever" * 3
    made = project(client, long)
    client.post(f"/api/v3/projects/{made['id']}/scenes", json={"name": long}).raise_for_status()
    client.post("/api/v3/users", json={"name": long}).raise_for_status()
    gone = upload(client, samples.image("PNG"), f"{long}.png")
    client.delete(f"/api/v3/assets/{gone['id']}").raise_for_status()
    views = ["", "/projects", f"/projects/{made['id']}", "/trash", "/usage", "/keys", "/users"]
    with opened(browser, server.url, viewport={"width": 360, "height": 740}) as page:
        sign_in(page, KEY)
        for view in views:
            expect(turn_to(page, f"/manage{view}").locator("h1")).to_be_focused()
            assert overflow(page) == [], view
            # All sections are in sight, and what is cut can be read.
            for way in page.get_by_role("navigation", name="Manage", exact=True).locator("a").all():
                expect(way).to_be_in_viewport(ratio=1)
            assert (
                page.locator(".project-name, .scene-name").evaluate_all(
                    """all => all.filter((one) => one.title !== (one.value ?? one.textContent))
                     .map((one) => one.outerHTML)"""
                )
                == []
            )


def test_going_elsewhere_works_without_a_connection(server: Server, browser: Browser) -> None:
    """The other views come when there is nothing else to do; what is written there stays."""
    with opened(browser, server.url, expected=("Failed to load resource",)) as page:
        sign_in(page, KEY)
        page.wait_for_function(
            """() => performance.getEntriesByType("resource")
                 .some(({ name }) => name.endsWith("/api/v3/models"))"""
        )
        # What another tab has kept meanwhile is not older than this one.
        other = page.context.new_page()
        other.goto("/#/generate")
        other.get_by_role("textbox", name="Prompt").fill("A barge at dusk")
        other.wait_for_function(
            "() => Object.values(localStorage).some((kept) => kept.includes('A barge at dusk'))"
        )
        other.close()
        page.context.set_offline(True)
        visit(page, "Manage")
        visit(page, "Generate")
        expect(page.get_by_role("textbox", name="Prompt")).to_have_value("A barge at dusk")


def test_a_view_that_does_not_come_says_why(server: Server, browser: Browser) -> None:
    """Without a connection it comes by itself later; from a server that answers, by a reload."""
    with opened(browser, server.url, expected=("Failed to load resource",)) as page:
        page.route("**/generate/view.js", lambda route: route.abort())
        page.route("**/manage/view.js", lambda route: route.fulfill(status=404))
        sign_in(page, KEY)
        main = page.get_by_role("navigation", name="Main")
        words = page.locator("#view").get_by_role("alert")
        main.get_by_role("link", name="Manage").click()
        expect(words).to_have_text(re.compile("It may be newer by now"))
        expect(page.get_by_role("button", name="Reload")).to_be_visible()

        page.context.set_offline(True)
        main.get_by_role("link", name="Generate").click()
        expect(words).to_have_text("The connection is lost.")
        page.get_by_role("button", name="Try again").click()
        expect(words).to_have_text("The connection is lost.")
        page.unroute("**/generate/view.js")
        page.context.set_offline(False)
        expect(page.get_by_role("heading", level=1, name="Generate")).to_be_focused()
