"""Rows: `tables.py` has them all, one module per noun has the SQL.

Plain functions that are given a connection and neither begin nor commit: whoever calls them
decides what belongs into one transaction.
"""
