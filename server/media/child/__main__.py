"""Starts the child: `python -I …/server/media/child/__main__.py`, the wire on descriptor 0."""

import sys
from importlib import import_module
from pathlib import Path

if __name__ == "__main__":
    # Isolated mode leaves our folder off the path. At its end, so that our modules can
    # hide none of the standard library's.
    sys.path.append(str(Path(__file__).resolve().parents[1]))
    import_module("child.main").main()
