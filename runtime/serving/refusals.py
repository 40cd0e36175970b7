"""What a server says instead of an answer: a status code and a sentence."""

from maskrt.errors import ArgumentError, ImageError, MaskrtError
from maskrt.runtime.images.read import ImageTooLargeError


class Refusal(Exception):
    """A request that is not answered.

    Args:
        status: the HTTP status code.
        message: a sentence for the caller: what was given, what was expected.
        retry_after: seconds after which the same request may be taken.
    """

    def __init__(self, status: int, message: str, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.retry_after = status, message, retry_after

    @classmethod
    def of(cls, error: Exception) -> "Refusal | None":
        """Say what an error of the runtime means to the caller; None: it is the server's own, and no concern of his."""
        if isinstance(error, Refusal):
            return error
        if isinstance(error, ImageTooLargeError):
            return cls(413, str(error))
        if isinstance(error, (ArgumentError, ImageError)):
            return cls(400, str(error))
        if isinstance(error, MemoryError):
            return cls(503, "There is not enough memory for this picture now.", retry_after=1)
        if isinstance(error, MaskrtError):
            return cls(500, "The model failed on this picture; the server's log says why.")
        return None
