"""The verbs of the command line, a module each. `server/cli.py` gathers them."""
