"""The page with 5,000 assets: when is it there, is it smooth to scroll, how much is in it?"""

from pathlib import Path
from statistics import median

from playwright.sync_api import Browser, Page

from benchmarks import servers
from benchmarks.report import Report
from tests import samples
from tests.e2e.browser import PHONE, chromium, opened, sign_in
from tests.many import multiply

ASSETS = 5000
# What the wheel turns at once, in pixels, and how often.
TURN, TURNS = 800, 400
# Phones, as Chromium's developer tools have them: round trip in ms, Mbit/s; a processor four
# times slower than this one.
LINES = {"slow 4G": (150, 1.6), "fast 4G": (60, 9.0)}
SLOWER = 4
# A task longer than this keeps a finger waiting (https://w3c.github.io/longtasks/): 50 ms.
_WATCH = """() => {
  window.watched = { tasks: [], frames: [], nodes: 0 };
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) window.watched.tasks.push(entry.duration);
  }).observe({ entryTypes: ["longtask"] });
  let last = performance.now();
  const frame = (now) => {
    window.watched.frames.push(now - last);
    last = now;
    const count = document.querySelectorAll("*").length;
    window.watched.nodes = Math.max(window.watched.nodes, count);
    requestAnimationFrame(frame);
  };
  requestAnimationFrame(frame);
}"""

# When the first asset is in the page, in ms since the navigation began: what is asked from
# outside waits for a slowed processor, too.
_FIRST_TILE = """new MutationObserver((_, observer) => {
  if (!document.querySelector(".library .tile")) return;
  window.firstTile = performance.now();
  observer.disconnect();
}).observe(document, { childList: true, subtree: true });"""


def page(report: Report, work: Path) -> None:
    report.say(f"page: scrolling through {ASSETS} assets in headless Chromium")
    with servers.ours(work, "page") as server, chromium() as browser:
        clip = work / "clip.mp4"
        clip.write_bytes(samples.video(width=320, height=180))
        made = server.keep(clip.read_bytes(), "clip.mp4")
        server.rest(made)
        multiply(server.database, made["id"], ASSETS - 1)
        url = f"http://127.0.0.1:{server.port}"
        with opened(browser, url) as shown:
            _measure(report, shown)
        for name, line in LINES.items():
            _load(report, browser, url, name, *line)


def _measure(report: Report, shown: Page) -> None:
    sign_in(shown, servers.KEY)
    shown.wait_for_load_state("networkidle")
    shown.evaluate(_WATCH)
    shown.mouse.move(600, 500)
    for _ in range(TURNS):
        shown.mouse.wheel(0, TURN)
        shown.wait_for_timeout(30)
    seen = shown.evaluate("window.watched")
    frames, tasks = seen["frames"], seen["tasks"]
    what = f"scrolling {ASSETS} assets"
    report.add(
        what, "nodes at most", str(seen["nodes"]), aim="a few hundred", met=seen["nodes"] < 1000
    )
    longest = max(tasks, default=0)
    told = f"{len(tasks)} over 50 ms, the longest {longest:.0f} ms"
    report.add(what, "long tasks", f"{told}, in {sum(frames) / 1000:.0f} s")
    slow = sum(one > 50 for one in frames)
    report.add(
        what,
        "frames",
        f"{median(frames):.0f} ms each, {slow} of {len(frames)} over 50 ms",
    )


def _load(
    report: Report, browser: Browser, url: str, name: str, latency: float, rate: float
) -> None:
    """The library on a phone, signed in: until the first assets are there to be touched."""
    with opened(browser, url, viewport=PHONE) as shown:
        sign_in(shown, servers.KEY)
        shown.add_init_script(_FIRST_TILE)
        phone = shown.context.new_cdp_session(shown)
        phone.send("Network.enable")
        per_second = rate * 1e6 / 8
        phone.send(
            "Network.emulateNetworkConditions",
            {
                "offline": False,
                "latency": latency,
                "downloadThroughput": per_second,
                "uploadThroughput": per_second,
            },
        )
        phone.send("Emulation.setCPUThrottlingRate", {"rate": SLOWER})
        for visit in ("first", "next"):
            if visit == "first":
                phone.send("Network.clearBrowserCache")
            shown.reload(wait_until="networkidle")
            seconds = shown.evaluate("window.firstTile") / 1000
            report.add(
                f"the library on a phone, {name}",
                f"the {visit} time",
                f"ready after {seconds:.2f} s",
                aim="1 s",
                met=seconds < 1,
            )
