"""The errors that maskrt raises on purpose.

Each message is one or two sentences for the user: what was given, what was expected, and what mends it.
A command-line tool prints the message alone; a traceback means a bug in maskrt.
"""


class MaskrtError(Exception):
    """Base class of every error that maskrt raises on purpose."""


class ArgumentError(MaskrtError, ValueError):
    """An argument of a public function has the wrong type, shape or range."""


class ModelError(MaskrtError):
    """A model file is missing, damaged, not a maskrt model, or cannot be loaded here."""


class ImageError(MaskrtError):
    """An image file is missing, damaged, too large, or not an image."""


class VideoError(MaskrtError):
    """A video, stream or camera cannot be opened, read or written, or has stopped."""


class ServerError(MaskrtError):
    """A server cannot be reached, refuses a request, or answers as no server of maskrt's protocol does."""


class DependencyError(MaskrtError, ImportError):
    """An optional package that this operation needs is not installed."""
