"""Reelbase: a media backend for AI-video apps, in one process, on one SQLite file.

A request's way: route (`http/`) → `http/gate.py` → rows (`catalog/`) → `ranges.py` → bytes
(`blobs/`) → socket. A job's way: route → row ⇢ `jobs/loop.py` → `providers/` → bytes straight
into a blob → asset row. `app.py` is where the parts meet, `cli.py` where commands begin,
`serve.py` what happens before the first request. Layers import only from those below them; the
contract stands in pyproject.toml.
"""

__version__ = "0.1.0"
