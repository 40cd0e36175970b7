"""What every request passes: who may ask, what is counted, and what browsers are told."""

import hmac
import json
import re
import time
from collections.abc import Collection

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from maskrt.runtime.serving.assets import PAGE
from maskrt.runtime.serving.metrics import Metrics

OPEN = (*PAGE, "/openapi.json", "/v2/health/live", "/v2/health/ready")
"""What is there without the key: the page, which asks for it, and what says whether the server is alive."""

_INFER = re.compile(r"/v2/models/[^/]+(/versions/[^/]+)?/infer")
_ROUTES = (*OPEN, "/predict", "/metrics", "/v2", "/v2/repository/index")
_HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' blob: data:; media-src 'self' blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}


class Gate:
    """Middleware around the application.

    Args:
        app: the application.
        key: that requests have to show, as `Authorization: Bearer KEY`; None: nobody is asked.
        hosts: names that the server may be called by; None: any. On loopback this keeps out web pages that have their
            own name resolved to this machine (DNS rebinding).
        most: requests that are answered at the same time; others are asked to come back.
        metrics: counts requests.
    """

    def __init__(
        self, app: ASGIApp, *, key: str | None, hosts: Collection[str] | None, most: int, metrics: Metrics
    ) -> None:
        self._app, self._hosts, self._most, self._metrics = app, hosts, most, metrics
        self._open = 0
        self._key = None if key is None else key.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start, status = time.perf_counter(), 500

        async def send_and_note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        self._open += 1
        refusal = self._refusal(scope)
        try:
            if refusal is None:
                await self._app(scope, receive, send_and_note)
            else:
                await _refuse(*refusal, send_and_note)
        finally:
            self._open -= 1
            route = _route(scope["path"])
            self._metrics.requests.labels(route, str(status)).inc()
            self._metrics.request_seconds.labels(route).observe(time.perf_counter() - start)

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        headers = Headers(scope=scope)
        host = re.sub(r":\d*$", "", headers.get("host", "")).lower()
        if self._hosts is not None and host not in self._hosts:
            return 421, f"This server is for {', '.join(sorted(self._hosts))}; `--host` opens it to others."
        if self._key is not None and scope["path"] not in OPEN:
            scheme, _, given = headers.get("authorization", "").partition(" ")
            if scheme.lower() != "bearer" or not hmac.compare_digest(given.strip().encode("latin-1"), self._key):
                return 401, "This server asks for a key: send the header `Authorization: Bearer KEY`."
        if self._open > self._most and scope["path"] not in OPEN:
            return 503, f"The server is busy with {self._most} requests. Try again in 1 s."
        return None


async def _refuse(status: int, sentence: str, send: Send) -> None:
    content = json.dumps({"error": sentence}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode())]
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    if status == 503:
        headers.append((b"retry-after", b"1"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content})


def _route(path: str) -> str:
    """Name what was asked for; all that there is not has one name, so that strangers cannot fill the memory."""
    if path in _ROUTES:
        return path
    return "/v2/models/NAME/infer" if _INFER.fullmatch(path) else "other"
