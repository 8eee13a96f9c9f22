"""Media files: what they are (sniff), whether they are whole (boxes), and work on them.

`sniff` and `boxes` are pure and look at bytes as they pass. `Media` (runner) gives each job to
a child process (process, child/), because files from outside crash decoders, or worse: the
process that serves never loads one.
"""

from server.media.process import MediaError, Source
from server.media.runner import Inspection, Media

__all__ = ["Inspection", "Media", "MediaError", "Source"]
