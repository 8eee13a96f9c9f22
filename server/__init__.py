"""Reelbase."""
