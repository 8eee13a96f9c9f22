"""Backup and restore.

`target.py` is where backups lie (a folder, a bucket), `manifest.py` what lies there, `place.py`
whether it is ours, `state.py` what the data folder remembers. `make.py` makes a backup, `prune.py`
removes what is old, `claim.py` keeps two from working on one target, `restore.py` is the way back,
`rows.py` the copying of rows that both need, `schedule.py` the backups that the server makes by
itself.
"""
