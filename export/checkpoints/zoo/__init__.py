"""Models that frameworks publish: their names, files, checksums and configs, as tables."""
