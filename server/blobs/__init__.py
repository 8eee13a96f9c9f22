"""Bytes: immutable blobs behind one small protocol.

`store.py` states what a store owes its callers, `rows.py` is what the database knows of a blob,
`sqlite.py` keeps the bytes in chunk rows, `volume.py` watches the space that is left.
"""
