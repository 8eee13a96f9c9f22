"""What went wrong with a foreign URL: a code, words for its user, and whether to try again."""

import re

from server.errors import ReelbaseError
from server.ingest.proxy import BLOCKED, UNREACHABLE, UNRESOLVED, UNSUPPORTED

WORDS = {
    "unsupported_url": "This kind of URL cannot be fetched.",
    "not_found": "There is nothing at this URL: it was removed, or the address is wrong.",
    "private_or_login_required": (
        "The site does not show this without signing in: it is private, for members, "
        "age-restricted or behind a password."
    ),
    "geo_blocked": "The site does not show this in the country that the server is in.",
    "bot_check": "The site wants proof that a person is asking, or has had too many requests.",
    "too_large": "The file is larger than this server accepts.",
    "too_long": "The video is longer than this server accepts.",
    "live_stream": "This is a live stream, or has not begun yet: only finished videos are fetched.",
    "timeout": "The site was too slow.",
    "blocked_address": "The URL leads to an address that is not public.",
    "host_not_found": "The site's address could not be found.",
    "no_media": "No video, audio or image was found at this URL.",
    "truncated": "The connection broke off before the file was complete.",
    "unsupported_stream": (
        "This kind of stream cannot be fetched: only files, DASH and HLS are, plain or encrypted "
        "by AES-128."
    ),
    "drm": "This is protected by DRM and cannot be fetched.",
    "download_failed": "The download failed.",
}


class IngestError(ReelbaseError):
    """A URL could not be fetched. `passing`: the same may work later, so a retry makes sense."""

    status = 422
    code = "download_failed"

    def __init__(self, code: str, detail: str | None = None, *, passing: bool = False) -> None:
        """One of the codes in WORDS; other words than those."""
        super().__init__(detail or WORDS[code], code=code)
        self.passing = passing


# yt-dlp's messages, and those of sites that it passes on: the first row that matches counts.
# The second field says whether it is passing.
_ROWS: list[tuple[str, bool, list[str]]] = [
    ("blocked_address", False, [re.escape(BLOCKED)]),
    ("host_not_found", True, [re.escape(UNRESOLVED)]),
    ("unsupported_url", False, [re.escape(UNSUPPORTED), r"URLs are disabled"]),
    ("download_failed", True, [re.escape(UNREACHABLE), r"No space left", r"Disk quota exceeded"]),
    ("drm", False, [r"\bDRM\b"]),
    # yt-dlp left a stream to ffmpeg, which is not run for that.
    ("unsupported_stream", False, [r"ffmpeg exited with code"]),
    (
        "bot_check",
        False,
        [r"not a bot", r"anti-bot", r"captcha", r"client challenge", r"IP .*\bblocked"],
    ),
    # Refused after the page was shown: the media behind it is kept from programs.
    ("bot_check", True, [r"(download video data|Got error): HTTP Error 403"]),
    ("truncated", True, [r"Got error: HTTP Error (404|410)"]),  # a segment that is missing
    ("bot_check", True, [r"HTTP Error 429", r"Too Many Requests", r"rate-?limit"]),
    (
        "geo_blocked",
        False,
        [
            r"geo.?restrict",
            r"(from|in) (your|this) (current )?(location|country|region|territory)",
            r"HTTP Error 451",
        ],
    ),
    (
        "live_stream",
        False,
        [
            r"live event (will begin|has ended)",
            r"Premieres? (in|will begin)",
            r"not (currently )?live\b",
            r"live ?stream",
            r"live has ended",
            r"(is|currently) offline",
            r"not available yet",
        ],
    ),
    (
        "private_or_login_required",
        False,
        [
            r"\bprivate\b",
            r"sign in",
            r"\blog(ged)?[ -]?in\b",
            r"registered users",
            r"members?[ -]only",
            r"channel's members",
            r"join this channel",
            r"subscri(b|ption)",
            r"password",
            r"age[ -]restrict",
            r"confirm your age",
            r"premium",
            r"--cookies",
            r"authenticat",
            r"HTTP Error 40[137]",
        ],
    ),
    (
        "not_found",
        False,
        [
            r"HTTP Error (404|410)",
            r"(video|content|clip|post) (is |has been )?(currently )?(not available|unavailable)",
            r"been (removed|deleted)",
            r"(does|do) ?n[o']t exist",
            r"no longer (available|exists)",
            r"account .*(terminated|suspended)",
            r"(video|track|clip|post|page|content) not found",
        ],
    ),
    ("too_large", False, [r"File too large", r"larger than max-filesize", r"MemoryError"]),
    (
        "truncated",
        True,
        [
            r"\d bytes read",
            r"Downloaded \d+ bytes, expected",
            r"Did not get any data",
            r"file is empty",
            r"fragment \d+ not found",
            r"IncompleteRead",
        ],
    ),
    ("timeout", True, [r"timed? ?out"]),
    ("unsupported_url", False, [r"not a valid URL", r"Unsupported url scheme", r"Invalid URL"]),
    (
        "no_media",
        False,
        [
            r"Unsupported URL",
            r"No (video|media|playable|embed)",
            r"no video (in|on)",
            r"is not a video",
            r"Requested format is not available",
            r"Invalid data found",
            r"Unable to extract",
        ],
    ),
    (
        "download_failed",
        True,
        [
            r"HTTP Error 5\d\d",
            r"Connection (reset|refused|aborted)",
            r"Remote end closed",
            r"EOF occurred",
            r"temporarily unavailable",
            r"Tunnel connection failed",
        ],
    ),
]
_TABLE = [
    (code, passing, re.compile("|".join(patterns), re.IGNORECASE))
    for code, passing, patterns in _ROWS
]
# Ids and URLs are the asker's words, not the site's: "Unsupported URL: …/login".
_PREFIX = re.compile(r"ERROR: *(\[[\w:+-]+\] *)?(\S+: )?")
_URL = re.compile(r"\w+://\S+")
_NOISE = re.compile(r" \(caused by .*|; please report .*|[.;]? *(Use|See) +(--|<?https?:).*")


def explain(messages: str) -> IngestError:
    """From what yt-dlp wrote to standard error: its `ERROR:` lines, or how it broke.

    Returns the error to raise; what no row knows keeps yt-dlp's own words.
    """
    # Not splitlines(), which would also cut at the carriage returns inside of messages.
    lines = [line.replace("\r", "") for line in messages.split("\n") if line.strip()]
    errors = [_PREFIX.sub("", line, count=1) for line in lines if line.startswith("ERROR:")]
    for line in errors or lines[-1:]:  # a traceback ends in what was raised
        bare = _URL.sub("", line)
        for code, passing, pattern in _TABLE:
            if pattern.search(bare):
                return IngestError(code, passing=passing)
    said = _NOISE.sub("", errors[-1]).strip()[:300] if errors else ""
    return IngestError("download_failed", f"The download failed: {said}" if said else None)
