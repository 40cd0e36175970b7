"""What a server allows, and how it batches."""

from dataclasses import dataclass

from maskrt.runtime.questions.question import PictureLimits


@dataclass(frozen=True)
class Limits:
    """What is taken; what is beyond is refused with a sentence.

    Attributes:
        max_bytes: of the body of a request.
        max_pixels: of a picture, told by its header before anything is decoded.
        queue: pictures that are waiting or being worked on; requests beyond are asked to come back.
        requests: that are received or answered at the same time; others are asked to come back, too.
        connections: open at a time; others are closed with a bare 503.
        body_seconds: that a client may take to send a request.
        uploads: bytes of all bodies that are being received at a time.
    """

    max_bytes: int = PictureLimits.max_bytes
    max_pixels: int = PictureLimits.max_pixels
    queue: int = 32
    requests: int = 256
    connections: int = 512
    body_seconds: float = 30.0
    uploads: int = 400_000_000


@dataclass(frozen=True)
class Batching:
    """How pictures of several requests become one run of the model.

    Attributes:
        size: pictures in a run at the most.
        delay: seconds that a picture waits for others while the model is idle.
    """

    size: int = 4
    delay: float = 0.002
