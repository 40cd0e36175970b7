"""Checkpoints and configs of other frameworks, read as data: nothing in them is ever run."""

from maskrt.export.checkpoints.errors import CheckpointError, ConfigError
from maskrt.export.checkpoints.read import Checkpoint, read_checkpoint

__all__ = ["Checkpoint", "CheckpointError", "ConfigError", "read_checkpoint"]
