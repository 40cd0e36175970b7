"""Configs of other frameworks, read as data."""
