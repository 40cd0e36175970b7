"""What a request brings: its body within the limits, its options, and whether its client is still there."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Mapping
from typing import TypeVar

from starlette.requests import ClientDisconnect, Request

from maskrt.runtime.serving.refusals import Refusal
from maskrt.runtime.serving.settings import Limits

Answer = TypeVar("Answer")

_THROWN_AWAY = 8
"""Times `max_bytes` that are read of a body that is too large, so that its client gets to hear of it."""


class Uploads:
    """Reads bodies within the limits: of each, and of all together.

    Args:
        limits: see there.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._bytes = 0

    async def read(self, request: Request) -> bytes:
        """Read the body of a request.

        Raises:
            Refusal: it is too large, comes too slowly, is compressed, or does not come whole.
        """
        if request.headers.get("content-encoding", "identity").strip().lower() != "identity":
            raise Refusal(415, "The body is compressed (Content-Encoding); expected it as it is.")
        limits, chunks, size, held = self._limits, list[bytes](), 0, 0
        try:
            async for chunk in _in_time(request, limits):
                size += len(chunk)
                if size <= limits.max_bytes:
                    if self._bytes + len(chunk) > limits.uploads:
                        raise Refusal(503, "The server is busy with other uploads. Try again in 1 s.", retry_after=1)
                    self._bytes += len(chunk)
                    held += len(chunk)
                    chunks.append(chunk)
                elif size > _THROWN_AWAY * limits.max_bytes:
                    break
                else:
                    chunks.clear()
            if size > limits.max_bytes:
                raise Refusal(413, f"The body has more than the {limits.max_bytes:,} bytes that are taken.")
            return b"".join(chunks)
        finally:
            self._bytes -= held


async def _in_time(request: Request, limits: Limits) -> AsyncIterator[bytes]:
    end = time.monotonic() + limits.body_seconds
    stream = request.stream()
    while True:
        try:
            chunk = await asyncio.wait_for(anext(stream), max(end - time.monotonic(), 0.001))
        except StopAsyncIteration:
            return
        except asyncio.TimeoutError:
            raise Refusal(408, f"The body did not come within {limits.body_seconds:g} s.") from None
        except ClientDisconnect:
            raise Refusal(400, "The body ended too early.") from None
        yield chunk


async def unless_gone(request: Request, work: Awaitable[Answer]) -> Answer:
    """Wait for an answer, and give it up when the client closes the connection: nobody would read it.

    Raises:
        Refusal: the client is gone.
    """
    task = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_disconnected(request))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise Refusal(499, "The client closed the connection.")
    finally:
        for pending in (task, gone):
            pending.cancel()


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def check_known(given: Mapping[str, object], known: tuple[str, ...], what: str) -> None:
    """Refuse options that nobody would look at.

    Raises:
        Refusal: there is one.
    """
    for name in given:
        if name not in known:
            raise Refusal(400, f"There is no {what} {name!r}; there are {', '.join(known)}.")
