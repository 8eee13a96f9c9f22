"""`python -m server`: the same as the installed command `reelbase`."""

from server.cli import main

main(prog_name="reelbase")
