"""A real headless Chromium, and pages whose complaints are remembered."""

import contextlib
import shutil
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import httpx
from playwright.sync_api import Browser, Locator, Page, ViewportSize, expect, sync_playwright

from tests.running import until

T = TypeVar("T")
_ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
_NAMES = ("chromium", "chromium-browser", "google-chrome")

# A net for what never comes, and no promise: Playwright's own 5 s are short on a busy machine.
PATIENCE = 60_000
expect.set_options(timeout=PATIENCE)

DESKTOP: ViewportSize = {"width": 1280, "height": 900}
PHONE: ViewportSize = {"width": 390, "height": 844}


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """The system's Chromium, for the length of a block."""
    path = next((found for name in _NAMES if (found := shutil.which(name))), None)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(_ARGUMENTS))
        try:
            yield browser
        finally:
            browser.close()


@contextlib.contextmanager
def opened(
    browser: Browser,
    url: str,
    *,
    viewport: ViewportSize = DESKTOP,
    expected: tuple[str, ...] = (),
    **options: Any,
) -> Iterator[Page]:
    """A page in a browser profile of its own, at `url`.

    Fails at the end if the console had an error (a report of the Content-Security-Policy is
    one), or a script threw, other than with the `expected` words in it.
    """
    complaints: list[str] = []
    context = browser.new_context(base_url=url, viewport=viewport, **options)
    context.set_default_timeout(PATIENCE)
    try:
        page = context.new_page()
        page.on(
            "console",
            lambda message: (
                complaints.append(f"{message.type}: {message.text} {message.location.get('url')}")
                if message.type in ("error", "warning")
                else None
            ),
        )
        page.on("pageerror", lambda error: complaints.append(f"thrown: {error}"))
        page.goto("/")
        yield page
    finally:
        context.close()
    unexpected = [one for one in complaints if not any(words in one for words in expected)]
    assert not unexpected, unexpected


def sign_in(page: Page, key: str, view: str = "Library") -> None:
    """By the form, until the page is there."""
    page.get_by_label("API key").fill(key)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_label("API key")).to_be_hidden()
    page.get_by_role("heading", name=view, level=1).wait_for()


def visit(page: Page, name: str) -> None:
    """Another view, by the navigation, until its heading has the focus."""
    page.get_by_role("navigation", name="Main").get_by_role("link", name=name).click()
    expect(page.get_by_role("heading", level=1, name=name)).to_be_focused()


def drawn(page: Page) -> None:
    """Until the page has drawn what it was told by now: scrolling, resizing and the like."""
    page.evaluate(
        """async () => {
          for (let n = 0; n < 4; n += 1) await new Promise(requestAnimationFrame);
        }"""
    )


def heard(page: Page, condition: Callable[[], T], what: str) -> T:
    """Until something holds that the page tells us of: its requests, its downloads.

    What it tells is heard only while Playwright is asked for something.
    """
    return until(lambda: page.evaluate("0") or condition(), what=lambda: what)


def asked_by_now(page: Page, paths: list[str]) -> list[str]:
    """What the page has asked the API for, out of `paths`, which a listener fills.

    Requests are told in their order: a last one of our own shows that all before it are there.
    """
    page.evaluate("() => fetch('/healthz').then((answer) => answer.text())")
    heard(page, lambda: "/healthz" in paths, "the last request")
    found = [path for path in paths[: paths.index("/healthz")] if path.startswith("/api/")]
    del paths[: paths.index("/healthz") + 1]
    return found


def turn_to(page: Page, path: str) -> Locator:
    """Another view, by its address: what is shown now is not it, however late it comes."""
    page.evaluate("() => { document.querySelector('#view > .view').dataset.past = '' }")
    page.goto(f"/#{path}")
    return page.locator("#view > .view:not([data-past])")


def all_shown(page: Page, client: httpx.Client, q: str = "") -> None:
    """Until every asset that `q` finds has its poster, and the page shows it.

    A picture that is on its way when its asset is deleted would be an error in the console.
    """

    def posters() -> list[str] | None:
        items = client.get("/api/v3/assets", params={"q": q}).json()["items"]
        made = [one["poster_id"] for one in items]
        return made if all(made) else None

    page.wait_for_function(
        """ids => ids.every((id) =>
             [...document.images].some((one) => one.src.includes(id) && one.naturalWidth > 0))""",
        arg=until(posters, what=lambda: "the posters"),
    )


def overflow(page: Page) -> list[str]:
    """What sticks out of the page sideways: the elements, by name and classes."""
    found: list[str] = page.evaluate(
        """() => {
          const wide = document.documentElement.clientWidth;
          if (document.documentElement.scrollWidth <= wide) return [];
          return [...document.body.querySelectorAll("*")]
            .filter((one) => one.getBoundingClientRect().right > wide + 0.5)
            .map((one) => `${one.tagName}.${one.getAttribute("class")}#${one.id}`);
        }"""
    )
    return found
