"""What sends pictures to a server, and reads what it has counted."""

from __future__ import annotations

import http.client
import re
import threading
import urllib.parse
from collections.abc import Mapping
from typing import NamedTuple

from maskrt.options import Thresholds

_TIMEOUT_SECONDS = 120
_LONGEST_WAIT = 60.0


class Reply(NamedTuple):
    """Of the server: the HTTP status, 0 where there was none, the body, and the seconds of Retry-After."""

    status: int
    body: bytes
    retry_after: float = 0.0


class Sender:
    """Sends pictures, each thread over a connection of its own that stays open.

    Args:
        url: of the server.
        thresholds: of all requests.
        key: that the server asks for.
    """

    def __init__(self, url: str, thresholds: Thresholds, key: str | None) -> None:
        parts = urllib.parse.urlsplit(url)
        self._make = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._address = parts.hostname or "", parts.port
        self._path = parts.path.rstrip("/")
        given = {"score_threshold": thresholds.score, "nms_threshold": thresholds.nms}
        self._query = urllib.parse.urlencode({name: value for name, value in given.items() if value is not None})
        self._headers = {"Content-Type": "application/octet-stream"}
        if key is not None:
            self._headers["Authorization"] = f"Bearer {key}"
        self._own = threading.local()

    def send(self, picture: bytes) -> Reply:
        """Send a picture, once."""
        return self._ask("POST", f"/predict?{self._query}", picture)

    def metrics(self) -> Mapping[str, float]:
        """Return what the server has counted; nothing where it is another one than `maskrt serve`."""
        reply = self._ask("GET", "/metrics", None)
        lines = re.findall(r"^([a-z_]+(?:\{[^}]*\})?) (\S+)$", reply.body.decode("utf-8", "replace"), re.MULTILINE)
        return {name: float(value) for name, value in lines} if reply.status == 200 else {}

    def _ask(self, method: str, path: str, body: bytes | None) -> Reply:
        reused = getattr(self._own, "connection", None)
        connection = reused or self._make(*self._address, timeout=_TIMEOUT_SECONDS)
        self._own.connection = None
        try:
            connection.request(method, self._path + path, body, self._headers)
            response = connection.getresponse()
            reply = Reply(response.status, response.read(), _seconds(response.getheader("Retry-After")))
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            # The server may have closed it in the meantime, before it saw the request.
            return self._ask(method, path, body) if reused and not isinstance(error, TimeoutError) else Reply(0, b"")
        self._own.connection = connection
        return reply


def _seconds(text: str | None) -> float:
    return min(float(text), _LONGEST_WAIT) if text is not None and text.isdecimal() else 0.0
