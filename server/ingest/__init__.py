"""Fetching what a URL shows: a plain file straight through httpx, all else by yt-dlp.

`direct` streams one guarded response, `ytdlp` runs the program (under `supervisor`, behind the
filtering `proxy`), `programs` finds what it may start (ffmpeg by way of `local_ffmpeg`), `errors`
turns what went wrong into a code and words.
"""
