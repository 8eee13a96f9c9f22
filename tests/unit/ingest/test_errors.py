"""The error table, on messages as yt-dlp 2026.10 words them."""
# ruff: noqa: E501 - messages are as long as they are

import re

import pytest

from server.ingest.errors import WORDS, IngestError, explain

# The first part was recorded from runs, the rest (from YouTube on) is put together as the code
# of yt-dlp's extractors puts it together.
MESSAGES = """
no_media | Unsupported URL: http://127.0.0.1:42113/login/private-video
no_media | [html5] page-1: Requested format is not available. Use --list-formats for a list of available formats
not_found | [generic] nope: Unable to download webpage: HTTP Error 404: Not Found (caused by <HTTPError 404: Not Found>)
private_or_login_required | [generic] x: Unable to download webpage: HTTP Error 403: Forbidden (caused by <HTTPError 403: Forbidden>)
truncated | \r[download] Got error: Downloaded 41185 bytes, expected 82370 bytes. Giving up after 2 retries
truncated | \r[download] Got error: HTTP Error 404: Not Found. Giving up after 2
truncated | \r[download] Got error: 20000 bytes read, 62370 more expected. Giving up after 2
truncated | Did not get any data blocks
truncated | The downloaded file is empty
drm | [generic] drm: This video is DRM protected
drm | [DRM] The requested site is known to use DRM protection. It will NOT be supported.
unsupported_stream | ffmpeg exited with code 77
blocked_address | [generic] x: Unable to download webpage: HTTP Error 403: Blocked By Egress Guard (caused by <HTTPError 403: Blocked By Egress Guard>)
blocked_address | [generic] x: Unable to download webpage: ('Unable to connect to proxy', OSError('Tunnel connection failed: 403 Blocked By Egress Guard')) (caused by ProxyError())
blocked_address | unable to download video data: HTTP Error 403: Blocked By Egress Guard
host_not_found | [generic] x: Unable to download webpage: HTTP Error 502: Host Not Resolved (caused by <HTTPError 502: Host Not Resolved>)
unsupported_url | file:// URLs are disabled by default in yt-dlp for security
unsupported_url | [generic] 'x y' is not a valid URL
too_large | unable to write data: [Errno 27] File too large
timeout | [generic] x: Unable to download webpage: The read operation timed out (caused by TransportError('The read operation timed out'))
bot_check | [youtube] dQw4w9WgXcQ: Sign in to confirm you\u2019re not a bot. Use --cookies-from-browser or --cookies for the authentication. See  https://github.com/yt-dlp/yt-dlp/wiki/FAQ#how-do-i-pass-cookies-to-yt-dlp
bot_check | [youtube] x: This content isn't available, try again later. Your account/session has been rate-limited by YouTube for up to an hour.
bot_check | unable to download video data: HTTP Error 403: Forbidden
private_or_login_required | [youtube] abc: Private video. Sign in if you've been granted access to this video
private_or_login_required | [youtube] abc: Sign in to confirm your age. This video may be inappropriate for some users.
private_or_login_required | [youtube] abc: Join this channel to get access to members-only content like this video, and other exclusive perks.
not_found | [youtube] abc: Video unavailable
not_found | [youtube] abc: Video unavailable. This video is no longer available
not_found | [youtube] abc: This video has been removed for violating YouTube's policy on hate
geo_blocked | [youtube] abc: Video unavailable. The uploader has not made this video available in your country
live_stream | [youtube] abc: This live event will begin in 3 hours.
live_stream | [youtube] abc: Premieres in 27 minutes
private_or_login_required | [vimeo] 1: This video is only available for registered users. Use --cookies, --cookies-from-browser, --username and --password, --netrc-cmd, or --netrc (vimeo) to provide account credentials
geo_blocked | [ard] x: This video is not available from your location due to geo restriction
live_stream | [twitch:stream] x: The channel is not currently live
no_media | [generic] x: No video formats found!; please report this issue on  https
private_or_login_required | [vimeo] 1: This video is protected by a password, use the --video-password option
geo_blocked | [x] 1: This song is blocked in this region
geo_blocked | [x] 1: Track unavailable in your country due to licensing restrictions
not_found | [x] 1: This video does not exist
not_found | [x] 1: This content is currently unavailable
bot_check | [tiktok] 1: Your IP address is blocked from accessing this post
bot_check | [reddit] 1: HTTP Error 429: Too Many Requests
bot_check | [generic] x: Got HTTP Error 403 caused by Cloudflare anti-bot challenge; see  https://github.com/yt-dlp/yt-dlp#impersonation  and try again with  --extractor-args "x"
"""
PASSING = {
    "ERROR: [x] 1: HTTP Error 429: Too Many Requests": True,
    "ERROR: [x] 1: Unable to download webpage: HTTP Error 503: Service Unavailable": True,
    "ERROR: [x] 1: Unable to download JSON metadata: [Errno 104] Connection reset by peer": True,
    "ERROR: unable to write data: [Errno 28] No space left on device": True,
    "ERROR: \r[download] Got error: The read operation timed out. Giving up after 2 retries": True,
    "ERROR: [youtube] abc: Private video. Sign in if you've been granted access": False,
    "ERROR: [youtube] abc: Video unavailable": False,
    "ERROR: [generic] drm: This video is DRM protected": False,
}


@pytest.mark.parametrize("line", MESSAGES.strip().split("\n"))
def test_messages_become_codes_with_words(line: str) -> None:
    code, _, message = line.partition(" | ")
    error = explain(f"WARNING: [generic] Falling back on DRM, private, 404\nERROR: {message}\n")
    assert error.code == code
    assert error.detail == WORDS[code]
    assert error.status == 422


@pytest.mark.parametrize("message", PASSING)
def test_whether_a_retry_makes_sense(message: str) -> None:
    assert explain(message).passing is PASSING[message]


def test_what_is_not_known_keeps_the_words_without_the_noise() -> None:
    error = explain(
        "ERROR: [Foo] 123: Something odd happened (caused by KeyError('x')); please report this "
        "issue on  https://github.com/yt-dlp/yt-dlp/issues?q= , filling out the template"
    )
    assert (error.code, error.detail) == (
        "download_failed",
        "The download failed: Something odd happened",
    )
    assert explain("").code == "download_failed"


def test_a_traceback_ends_in_what_was_raised() -> None:
    trace = "Traceback (most recent call last):\n  File 'private.py', line 1, in login\n"
    assert explain(trace + "RequestError: file:// URLs are disabled").code == "unsupported_url"
    assert explain(trace + "KeyError: '/secret/path'").detail == WORDS["download_failed"]


def test_words_are_for_users() -> None:
    for words in WORDS.values():
        assert not re.search(r"yt-dlp|ffmpeg|HTTP|exit|--", words)
    assert IngestError("drm").passing is False
