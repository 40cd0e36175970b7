"""The process: it listens, loads the model, answers, and stops when what it has taken is finished."""

import asyncio
import contextlib
import ipaddress
import signal
import socket
import threading
from collections.abc import Callable, Collection, Generator
from pathlib import Path
from types import FrameType

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from maskrt.errors import ArgumentError
from maskrt.runtime.backends.registry import BACKENDS
from maskrt.runtime.segmenter import Segmenter
from maskrt.runtime.serving.app import Host, make_app
from maskrt.runtime.serving.metrics import Metrics
from maskrt.runtime.serving.service import Service
from maskrt.runtime.serving.settings import Batching, Limits
from maskrt.terminal import say

_KEEP_ALIVE_SECONDS = 30
_LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")


def model_name(path: Path) -> str:
    """Name the model of a file: "street" of street.onnx, street.engine and street.openvino.xml."""
    for suffix in BACKENDS:
        if path.name.lower().endswith(suffix):
            return path.name[: -len(suffix)]
    return path.stem


def listen(address: str, port: int) -> socket.socket:
    """Open the port.

    Raises:
        ArgumentError: another program has it, or there is no such address here.
    """
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(
            address, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(place)
            listener.listen()  # from here on no other process gets the port
        except OSError:
            listener.close()
            raise
    except OSError as error:
        raise ArgumentError(
            f"Cannot listen on port {port} of {address}: {error.strerror or error}. Another server may have it: give "
            "another --port (0: any that is free)."
        ) from None
    return listener


def names_of(listener: socket.socket) -> Collection[str] | None:
    """Return the names that a server on loopback is called by; None: others may call it, by any name."""
    address = listener.getsockname()[0]
    return _LOOPBACK_NAMES if ipaddress.ip_address(address.partition("%")[0]).is_loopback else None


def url_of(listener: socket.socket) -> str:
    """Return the address to open in a browser."""
    address, port = listener.getsockname()[:2]
    return f"http://[{address}]:{port}" if ":" in address else f"http://{address}:{port}"


class Server:
    """A model behind a port.

    Args:
        listener: from `listen`.
        open_model: loads the model and warms it up.
        name: of the model, in addresses.
        limits, batching: see there.
        key: that requests have to show; None: nobody is asked.
        on_ready: called when the model is ready.
    """

    def __init__(
        self,
        listener: socket.socket,
        open_model: Callable[[], Segmenter],
        name: str,
        limits: Limits,
        batching: Batching,
        *,
        key: str | None = None,
        on_ready: Callable[[Segmenter], None] = lambda segmenter: None,
    ) -> None:
        self._listener, self._open_model, self._on_ready = listener, open_model, on_ready
        self.host = Host(name, limits, batching, Metrics(batching.size))
        config = uvicorn.Config(
            make_app(self.host, key=key, hosts=names_of(listener)),
            http=_protocol(limits.body_seconds),
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="error",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            limit_concurrency=limits.connections,
        )
        self._server = _Uvicorn(config)
        self._error: Exception | None = None

    def run(self) -> None:
        """Answer until `stop` is called; in the main thread, until a signal comes. What was taken is finished.

        Raises:
            MaskrtError: the model cannot be loaded.
            KeyboardInterrupt: a second signal came: what was taken is not finished.
        """
        with _signals(self._signalled):
            try:
                asyncio.run(self._serve())
            finally:
                if self.host.service is not None:
                    self.host.service.close()
        if self._error is not None:
            raise self._error
        if self._server.force_exit:
            raise KeyboardInterrupt

    def stop(self) -> None:
        """Take no more requests, finish what was taken, and end `run`. May be called from any thread."""
        self.host.stopping = True
        self._server.should_exit = True

    async def _serve(self) -> None:
        loading = threading.Thread(target=self._load, name="load", daemon=True)
        loading.start()
        await self._server.serve([self._listener])
        if self._error is None and not self._server.force_exit:
            await asyncio.to_thread(loading.join)

    def _load(self) -> None:
        try:
            segmenter = self._open_model()
            self.host.service = Service(segmenter, self.host.limits, self.host.batching, self.host.metrics)
        except Exception as error:
            self._error = error
            self._server.should_exit = True
        else:
            if not self.host.stopping:
                self._on_ready(segmenter)

    def _signalled(self, number: int, frame: FrameType | None) -> None:
        if self.host.stopping:
            self._server.force_exit = True
        else:
            say("stopping: what was taken is finished")
        self.stop()


class _Uvicorn(uvicorn.Server):
    """Leaves signals to `Server`."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


def _protocol(seconds: float) -> type[H11Protocol]:
    """HTTP, but for clients that take longer than that to send the head of a request: they are cut off."""

    class PatientProtocol(H11Protocol):
        _head: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
            super().connection_made(transport)
            self._watch()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self._watch()

        def connection_lost(self, exc: Exception | None) -> None:
            self._unwatch()
            super().connection_lost(exc)

        def _watch(self) -> None:
            if self.cycle is not None and not self.cycle.response_complete:
                self._unwatch()
            elif self._head is None:
                self._head = self.loop.call_later(seconds, self._too_slow)

        def _unwatch(self) -> None:
            if self._head is not None:
                self._head.cancel()
                self._head = None

        def _too_slow(self) -> None:
            self._head = None
            if self.cycle is None or self.cycle.response_complete:
                self.transport.close()

    return PatientProtocol


@contextlib.contextmanager
def _signals(handler: Callable[[int, FrameType | None], None]) -> Generator[None, None, None]:
    """Have SIGINT, SIGTERM and SIGHUP call the handler; in other threads than the main one, change nothing."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {number: signal.getsignal(number) for number in numbers}
    for number in numbers:
        if before[number] is not signal.SIG_IGN:  # as of `nohup`
            signal.signal(number, handler)
    try:
        yield
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)
