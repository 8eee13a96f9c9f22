"""Moving in: what a former installation kept becomes ours, under its old names too.

`scenes_db` reads the SQLite file of one (`source`, `columns`, `old_rows`, `old_keys`), `bucket`
the objects of another; `owners` and `places` say whose it becomes and where it goes, `copying`
takes the bytes in.
"""
