"""Pages and playlists that name, in every place where a URL can stand, one that must not be opened.

`hostile/PLACE/NAME`, with a place of PLACES and a name of `targets`. The targets lead to a port
that must never be reached, by schemes that some library opens with sockets of its own.
"""

from collections.abc import Callable

Page = tuple[str, str]

HTML = "text/html; charset=utf-8"
HLS = "application/vnd.apple.mpegurl"
DASH = "application/dash+xml"


def targets(port: int) -> dict[str, str]:
    """URLs by a name for each; all of libavformat's that can stand in a playlist."""
    host = f"127.0.0.1:{port}"
    web = f"http://{host}/x.ts"
    return {
        "http": web,
        "https": f"https://{host}/x.ts",
        "httpproxy": f"httpproxy://{host}/internal:80",
        "crypto+http": f"crypto+{web}",
        "crypto": f"crypto:{web}",
        "concat": f"concat:{web}|{web}",
        "concatf": f"concatf:{web}",
        "subfile": f"subfile,,start,0,end,9,,:{web}",
        "async": f"async:{web}",
        "cache": f"cache:{web}",
        "hls+http": f"hls+{web}",
        "tcp": f"tcp://{host}",
        "tls": f"tls://{host}",
        "udp": f"udp://{host}",
        "rtp": f"rtp://{host}",
        "srt": f"srt://{host}",
        "rtmp": f"rtmp://{host}/app/play",
        "rtmps": f"rtmps://{host}/app/play",
        "rtsp": f"rtsp://{host}/x",
        "mms": f"mmsh://{host}/x",
        "icecast": f"icecast://{host}/x",
        "gopher": f"gopher://{host}/x",
        "ftp": f"ftp://{host}/x.ts",
        "sftp": f"sftp://{host}/x.ts",
        "data": "data:application/octet-stream;base64,AAECAwQFBgcICQoLDA0ODw==",  # the site's key
        "file": "file:///etc/passwd",
        "path": "/etc/../etc/passwd",
        "pipe": "pipe:0",
        "fd": "fd:0",
        "redirect": "/to-inside",
        "redirect-name": "/to-inside-by-name",
    }


def _playlist(*lines: str, end: str = "#EXT-X-ENDLIST") -> Page:
    head = ["#EXTM3U", "#EXT-X-VERSION:6", "#EXT-X-TARGETDURATION:1"]
    return HLS, "\n".join([*head, *lines, end])


def _master(*lines: str, variant: str = "/hls_0.m3u8", group: str = "") -> Page:
    stream = f"#EXT-X-STREAM-INF:BANDWIDTH=100000,RESOLUTION=160x120{group}"
    return HLS, "\n".join(["#EXTM3U", *lines, stream, variant])


def _dash(base: str, media: str) -> Page:
    body = f"""<?xml version="1.0"?>
<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" mediaPresentationDuration="PT2S">
<Period><AdaptationSet mimeType="video/mp4"><Representation id="1" bandwidth="1000" codecs="avc1">
<BaseURL>{base}</BaseURL><SegmentList duration="1"><SegmentURL media="{media}"/>
<SegmentURL media="{media}"/></SegmentList></Representation></AdaptationSet></Period></MPD>"""
    return DASH, body


def _html(body: str) -> Page:
    return HTML, f"<html><head><title>A title</title></head><body>{body}</body></html>"


CLEAR = "#EXTINF:1.0,\n/hls_0_0.ts"
CIPHERED = "#EXTINF:1.0,\n/aes_0.ts"

PLACES: dict[str, Callable[[str], Page]] = {
    "segment": lambda url: _playlist(CLEAR, f"#EXTINF:1.0,\n{url}"),
    "key": lambda url: _playlist(f'#EXT-X-KEY:METHOD=AES-128,URI="{url}"', CIPHERED),
    "sample-key": lambda url: _playlist(f'#EXT-X-KEY:METHOD=SAMPLE-AES,URI="{url}"', CIPHERED),
    "sample-segment": lambda url: _playlist(
        '#EXT-X-KEY:METHOD=SAMPLE-AES,URI="/aes.key"', f"#EXTINF:1.0,\n{url}"
    ),
    "session-key": lambda url: _master(f'#EXT-X-SESSION-KEY:METHOD=AES-128,URI="{url}"'),
    "live": lambda url: _playlist(f"#EXTINF:1.0,\n{url}", end=""),
    "live-key": lambda url: _playlist(f'#EXT-X-KEY:METHOD=AES-128,URI="{url}"', CIPHERED, end=""),
    "map": lambda url: _playlist(f'#EXT-X-MAP:URI="{url}"', CLEAR),
    "variant": lambda url: _master(variant=url),
    "audio": lambda url: _master(
        f'#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",NAME="a",DEFAULT=YES,URI="{url}"',
        group=',AUDIO="a",CODECS="avc1.42c00b,mp4a.40.2"',
    ),
    "subtitles": lambda url: _master(
        f'#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID="s",NAME="s",LANGUAGE="en",URI="{url}"',
        group=',SUBTITLES="s"',
    ),
    "dash-base": lambda url: _dash(url, "x"),
    "dash-segment": lambda url: _dash("/", url),
    "video": lambda url: _html(f'<video src="{url}"></video>'),
    "video-typed": lambda url: _html(
        f'<video><source src="{url}" type="application/x-mpegURL"></video>'
    ),
    "poster": lambda url: _html(f'<video src="/gap.m3u8" poster="{url}"></video>'),
    "track": lambda url: _html(
        f'<video src="/gap.m3u8"><track kind="subtitles" srclang="en" src="{url}"></video>'
    ),
    "described": lambda url: _html(
        '<script type="application/ld+json">{"@context": "https://schema.org", "@type": '
        f'"VideoObject", "name": "A", "contentUrl": "{url}", "thumbnailUrl": "{url}"}}</script>'
    ),
    "frame": lambda url: _html(f'<iframe src="{url}"></iframe><embed src="{url}">'),
    "refresh": lambda url: _html(f'<meta http-equiv="refresh" content="0; url={url}">'),
}


def page(path: str, port: int) -> Page | None:
    """The page at `PLACE/NAME`, with targets at this port."""
    place, _, name = path.partition("/")
    url = targets(port).get(name)
    make = PLACES.get(place)
    return make(url) if make and url else None
