"""What yt-dlp may ask of ffmpeg: a table of arguments, and runs of the program itself."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from server.ingest.local_ffmpeg import INPUT_OPTIONS, REFUSED, WORDS, Refused, judged
from server.ingest.programs import WRAPPER, find_ffmpeg, write_ffmpeg
from tests.integration.ingest.hostile import targets
from tests.integration.ingest.site import Site

START = ["-y", "-loglevel", "repeat+info"]
COPY = ["-c", "copy"]
FAST = ["-movflags", "+faststart"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A download's folder, with two files, a link that leads out of it, and one beside it."""
    (tmp_path / "outside.mp4").write_bytes(b"outside")
    work = tmp_path / "work"
    (work / "inner").mkdir(parents=True)
    (work / "link.mp4").symlink_to(tmp_path / "outside.mp4")
    for name in ("a.mp4", "b: %d*.m4a", "inner/c.mp4"):
        (work / name).write_bytes(b"x")
    os.mkfifo(work / "fifo.mp4")
    return work


def test_what_yt_dlp_asks_for(folder: Path) -> None:
    """Every form of its merging, fixing and asking; the inputs get limits, the rest is kept."""
    a, b, out = (f"file:{folder}/{name}" for name in ("a.mp4", "b: %d*.m4a", "a.temp.mp4"))
    limited = [*INPUT_OPTIONS, "-i", a]
    all_streams = ["-map", "0", "-dn", "-ignore_unknown", *COPY, "-c:s", "mov_text"]
    merging = [*COPY, "-map", "0:v:0", "-map", "1:a:0", "-bsf:a:0", "aac_adtstoasc", *FAST]
    assert judged(["-bsfs"], str(folder)) == ["-bsfs"]
    assert judged(["-i", a], str(folder)) == ["-nostdin", *limited]
    assert judged([*START, "-i", a, "-i", b, *merging, out], str(folder)) == [
        *("-nostdin", *START, *limited, *INPUT_OPTIONS, "-i", b, *merging, out)
    ]
    for options in (
        [*all_streams, *FAST],
        [*all_streams, "-f", "mp4", "-bsf:a", "aac_adtstoasc", *FAST],
        [*all_streams, "-aspect", "1.333333", *FAST],
    ):
        expected = ["-nostdin", *START, *limited, *options, out]
        assert judged([*START, "-i", a, *options, out], str(folder)) == expected


INPUTS = {
    **targets(9),
    "none": "",
    "dash": "-",
    "web": "http://127.0.0.1/file:FOLDER/a.mp4",
    "no scheme": "FOLDER/a.mp4",
    "relative": "file:a.mp4",
    "outside": "file:FOLDER/../outside.mp4",
    "elsewhere": "file:/etc/passwd",
    "host": "file://localhost/etc/passwd",
    "deeper": "file:FOLDER/inner/c.mp4",
    "folder": "file:FOLDER/inner",
    "itself": "file:FOLDER/.",
    "slash": "file:FOLDER/",
    "parent": "file:FOLDER/..",
    "link": "file:FOLDER/link.mp4",
    "fifo": "file:FOLDER/fifo.mp4",
    "missing": "file:FOLDER/missing.mp4",
    "zero": "file:FOLDER/a.mp4\0",
    "list": "concat:FOLDER/a.mp4|FOLDER/a.mp4",
}


@pytest.mark.parametrize("name", INPUTS)
def test_inputs_that_are_not_files_of_the_folder(folder: Path, name: str) -> None:
    """As the only input, and as the second; the words do not repeat what was asked for."""
    a, out = f"file:{folder}/a.mp4", f"file:{folder}/out.mp4"
    url = INPUTS[name].replace("FOLDER", str(folder))
    for arguments in (
        ["-i", url],
        [*START, "-i", url, *COPY, out],
        [*START, "-i", a, "-i", url, *COPY, out],
    ):
        with pytest.raises(Refused) as caught:
            judged(arguments, str(folder))
        assert not url or url not in str(caught.value)


OUTPUTS = [
    *targets(9).values(),
    "",
    "-",
    "FOLDER/out.mp4",
    "file:/tmp/out.mp4",
    "file:FOLDER/../out.mp4",
    "file:FOLDER/inner/out.mp4",
    "file:FOLDER/inner",
    "file:FOLDER/link.mp4",  # would write through it
    "file:FOLDER/fifo.mp4",
    "file:FOLDER/out",
    "file:FOLDER/out.m3u8",  # these muxers write further files
    "file:FOLDER/out.mpd",
    "file:FOLDER/programs/ffmpeg",
    "file:FOLDER/cookies.txt",
]


@pytest.mark.parametrize("output", OUTPUTS)
def test_outputs_that_are_not_files_of_the_folder(folder: Path, output: str) -> None:
    """Writing is a way out too: to URLs, through links, into other downloads' folders."""
    place = output.replace("FOLDER", str(folder))
    with pytest.raises(Refused):
        judged([*START, "-i", f"file:{folder}/a.mp4", *COPY, place], str(folder))


# Placed among the options of the output, before the input, and before everything.
OPTIONS = """
-attach /etc/passwd
-dump_attachment:t /tmp/x
-f concat
-f tee
-f hls
-f lavfi
-filter_complex movie=http://127.0.0.1/x
-vf movie=/etc/passwd
-/filter_complex /etc/passwd
-filter_script:v /etc/passwd
-filter_complex_script /etc/passwd
-vpre x
-fpre /etc/passwd
-headers A:B
-cookies a=b
-http_proxy http://127.0.0.1:9
-key_info_file /etc/passwd
-hls_key_info_file /etc/passwd
-protocol_whitelist ALL
-format_whitelist ALL
-protocol_opts x
-progress http://127.0.0.1/
-report
-sdp_file /tmp/x
-passlogfile /tmp/x
-vstats_file /tmp/x
-safe 0
-enable_drefs 1
-use_absolute_path 1
-allowed_extensions ALL
-bsf:v x
-bsf:a:x aac_adtstoasc
-bsf:a h264_mp4toannexb
-c:s copy
-c libx264
-map [out]
-map 0?
-movflags +faststart+dash
-aspect 4:3
-aspect nan
-y
-i file:/etc/passwd
@/etc/passwd
-stdin
-re
-ss 1
-lavfi x
-init_hw_device x
"""


@pytest.mark.parametrize("line", OPTIONS.strip().split("\n"))
def test_options_that_yt_dlp_does_not_need(folder: Path, line: str) -> None:
    """Many take a further URL or file, or lift a limit; what is not known is refused as well."""
    more = line.split(" ")
    given = ["-i", f"file:{folder}/a.mp4"]
    end = [*COPY, f"file:{folder}/out.mp4"]
    for arguments in (
        [*START, *given, *more, *end],
        [*START, *given, *end[:2], *more, end[2]],
        [*START, *more, *given, *end],
        [*more, *START, *given, *end],
        [*more, *given],
        [*given, *more],
        more,
        [*START, *given, *end, *more],
    ):
        with pytest.raises(Refused):
            judged(arguments, str(folder))


@pytest.mark.parametrize("arguments", [[], ["-i"], START, [*START, "-i"], ["-version"], [""]])
def test_arguments_that_are_cut_off(folder: Path, arguments: list[str]) -> None:
    """No argument list makes it fail in another way than by refusing."""
    with pytest.raises(Refused):
        judged(arguments, str(folder))


def test_encoding_is_refused(folder: Path) -> None:
    """Without `-c copy` ffmpeg would encode, for as long as the download may take."""
    with pytest.raises(Refused):
        judged([*START, "-i", f"file:{folder}/a.mp4", *FAST, f"file:{folder}/o.mp4"], str(folder))


def test_a_refusal_is_said_and_ffmpeg_is_not_run(folder: Path) -> None:
    """The program as yt-dlp starts it, with a quote and a space in its folder's name."""
    odd = folder / "it's odd"
    odd.mkdir()
    program = write_ffmpeg("/bin/echo", odd)
    done = subprocess.run([program, "-i", "http://127.0.0.1/"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (REFUSED, "")
    assert done.stderr.startswith(f"{WORDS}: ")
    (odd / "a b.mp4").write_bytes(b"x")
    done = subprocess.run([program, "-i", f"file:{odd}/a b.mp4"], capture_output=True, text=True)
    assert done.returncode == 0
    assert done.stdout.endswith(f"-i file:{odd}/a b.mp4\n")


def test_ffmpeg_gets_nothing_of_the_environment(folder: Path) -> None:
    """FFREPORT writes a file anywhere, http_proxy leads out with the proxy's password."""
    environment = {"FFREPORT": "file=/tmp/x", "http_proxy": "http://x", "PATH": os.defpath}
    spy = folder / "spy"
    spy.write_text("#!/bin/sh\nexec /usr/bin/env\n")
    spy.chmod(0o700)
    command = [sys.executable, "-I", "-S", WRAPPER, spy, folder, "-bsfs"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    names = {line.partition("=")[0] for line in done.stdout.splitlines()}
    assert names <= {"LANG", "PWD", "OLDPWD", "SHLVL", "_"}


def _can_leave_the_network() -> bool:
    command = ["unshare", "--net", "--user", "true"]
    try:
        return subprocess.run(command, capture_output=True).returncode == 0
    except OSError:
        return False


@pytest.mark.skipif(not _can_leave_the_network(), reason="this system does not let us")
def test_where_the_system_lets_us_ffmpeg_has_no_network(folder: Path) -> None:
    """The second line: also an ffmpeg that a file has taken over sees no interface."""
    spy = folder / "spy"
    spy.write_text("#!/bin/sh\nwhile read line; do echo $line; done < /proc/net/dev\n")
    spy.chmod(0o700)
    command = [sys.executable, "-I", "-S", WRAPPER, spy, folder, "-bsfs"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    interfaces = [line.split(":")[0] for line in done.stdout.splitlines() if ":" in line]
    assert interfaces == ["lo"]
    assert " 0 0 0" in done.stdout  # another lo than ours, which is not even up


PLAYLISTS = {
    "hls": "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{url}\n#EXT-X-ENDLIST\n",
    "hls of files": "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{other}\n#EXT-X-ENDLIST\n",
    "concat": "ffconcat version 1.0\nfile '{url}'\n",
    "concat of files": "ffconcat version 1.0\nfile '{other}'\n",
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 9 RTP/AVP 0\n",
    "dash": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
    'mediaPresentationDuration="PT1S"><Period><AdaptationSet mimeType="video/mp4">'
    '<Representation id="1" bandwidth="1"><BaseURL>{url}</BaseURL></Representation>'
    "</AdaptationSet></Period></MPD>",
}


@pytest.mark.parametrize("name", PLAYLISTS)
def test_files_that_are_playlists_are_not_followed(site: Site, folder: Path, name: str) -> None:
    """By yt-dlp's word it is an MP4; ffmpeg looks at the bytes, and would open what they name."""
    ffmpeg = find_ffmpeg()
    assert ffmpeg is not None
    (folder / "other.ts").write_bytes(site.files["hls_0_0.ts"])
    words = PLAYLISTS[name].replace("{other}", "other.ts")
    (folder / "a.mp4").write_text(words.replace("{url}", f"http://127.0.0.1:{site.inside}/x.ts"))
    program = write_ffmpeg(ffmpeg, folder)
    command = [program, *START, "-i", f"file:{folder}/a.mp4", *COPY, f"file:{folder}/out.mp4"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode not in (0, REFUSED), done.stderr
    assert not (folder / "out.mp4").exists()
    assert site.trespasses == []
