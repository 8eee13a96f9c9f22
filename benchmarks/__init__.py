"""Measurements of Reelbase beside its peers: `python -m benchmarks`, see docs/performance.md.

media.py    the videos: real ones of any size
servers.py  ours and the peers, each a process of its own on a loopback port
peers.py    the ASGI applications of two peers: FileResponse, and one BLOB read whole
client.py   the load, the same for all: plain sockets, one process
watch.py    memory of a process, page cache, the machine
measure.py  the sections: what is done, and what is written down
report.py   results, their ratios to what we aim at, the table
"""
