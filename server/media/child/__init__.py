"""The program that opens hostile files: a process of its own, with limits.

It is started by path in isolated mode, so it imports nothing of `server` outside this folder,
and it has no file and no network to read from: input comes through the wire (wire.py).
"""
