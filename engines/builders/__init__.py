"""What builds an engine: one module for each, behind a registry."""
