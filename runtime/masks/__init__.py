"""Masks: pasting, run lengths, set operations; no canvas is made."""
