"""What can be wrong with a source model."""

from maskrt.errors import MaskrtError


class SourceError(MaskrtError):
    """The model to export cannot be built, or its weights cannot be loaded."""

    code = "MRT-008"


class UnsupportedModelError(MaskrtError):
    """The model has a part that maskrt cannot express."""

    code = "MRT-011"


def first_line(error: BaseException) -> str:
    """Return the first line of what PyTorch says, which is what a user can read of it; or the error's type."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
