"""Small real media files, made once by the ffmpeg that the service uses."""

import subprocess
from pathlib import Path

from server.ingest.programs import find_ffmpeg

PICTURE = ["-f", "lavfi", "-i", "testsrc=size=160x120:rate=12:duration=4"]
SOUND = ["-f", "lavfi", "-i", "sine=frequency=440:duration=4"]
H264 = ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-g", "12"]
SPLIT_HLS = [
    *("-map", "0:v", "-map", "1:a", *H264, "-c:a", "aac"),
    *("-f", "hls", "-hls_time", "1", "-hls_playlist_type", "vod"),
    *("-var_stream_map", "v:0,agroup:snd a:0,agroup:snd,default:yes"),
    *("-master_pl_name", "master.m3u8", "-hls_segment_filename", "hls_%v_%d.ts", "hls_%v.m3u8"),
]


ENCRYPTED_HLS = [
    *("-map", "0:v", *H264, "-f", "hls", "-hls_time", "1", "-hls_playlist_type", "vod"),
    *("-hls_key_info_file", "key.info", "-hls_segment_filename", "aes_%d.ts", "aes.m3u8"),
]


def make_media(folder: Path) -> None:
    """Fill a folder: clips, tones, pictures, HLS in two tracks (master) and encrypted (aes)."""
    ffmpeg = find_ffmpeg()
    assert ffmpeg is not None
    (folder / "aes.key").write_bytes(bytes(range(16)))
    (folder / "key.info").write_text("aes.key\naes.key\n")
    for arguments in (
        [*PICTURE, *SOUND, *H264, "-c:a", "aac", "-movflags", "+faststart", "clip.mp4"],
        [*PICTURE, *SOUND, *H264, "-c:a", "aac", "index-last.mp4"],
        ["-f", "lavfi", "-i", "sine=duration=300", "-b:a", "32k", "long.mp3"],
        [*PICTURE, "-c:v", "libvpx", "-deadline", "realtime", "clip.webm"],
        [*SOUND, "tone.mp3"],
        [*SOUND, "-c:a", "aac", "tone.m4a"],
        [*PICTURE, "-frames:v", "1", "picture.jpg"],
        [*PICTURE, "-frames:v", "1", "picture.png"],
        [*PICTURE, "-frames:v", "1", "picture.webp"],
        [*PICTURE, *SOUND, *SPLIT_HLS],
        [*PICTURE, *ENCRYPTED_HLS],
    ):
        subprocess.run(
            [ffmpeg, "-v", "error", "-nostdin", "-y", *arguments], cwd=folder, check=True
        )
