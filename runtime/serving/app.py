"""The application: what answers at which address."""

import json
import sys
from collections.abc import Collection
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from maskrt import __version__
from maskrt.contract.serving import HEADER_LENGTH, outputs_of
from maskrt.contract.tensors import MASKS
from maskrt.errors import MaskrtError
from maskrt.runtime.questions.tensors import lay_out, masks_of
from maskrt.runtime.serving import kserve
from maskrt.runtime.serving.assets import PAGE
from maskrt.runtime.serving.gate import Gate
from maskrt.runtime.serving.metrics import CONTENT_TYPE, Metrics
from maskrt.runtime.serving.openapi import describe
from maskrt.runtime.serving.predict import predict
from maskrt.runtime.serving.refusals import Refusal
from maskrt.runtime.serving.requests import Uploads, unless_gone
from maskrt.runtime.serving.service import Found, Service
from maskrt.runtime.serving.settings import Batching, Limits
from maskrt.runtime.structures.instances import Instances
from maskrt.terminal import say

EXTENSIONS = ["binary_tensor_data", "model_configuration", "model_repository"]


@dataclass(eq=False)
class Host:
    """The one model of a server, and how far it is.

    Attributes:
        model: its name.
        limits, batching: see there.
        metrics: of the server.
        service: the model at work; None while it is loaded.
        stopping: whether what was taken is being finished, and nothing else is taken.
        uploads: the bodies that are being received.
    """

    model: str
    limits: Limits
    batching: Batching
    metrics: Metrics
    service: Service | None = None
    stopping: bool = False
    uploads: Uploads = field(init=False)

    def __post_init__(self) -> None:
        self.uploads = Uploads(self.limits)

    @property
    def ready(self) -> bool:
        """Whether requests are answered."""
        return self.service is not None and not self.stopping

    def take(self) -> Service:
        """Return the model at work.

        Raises:
            Refusal: it is not there yet, or no more.
        """
        if self.stopping:
            raise Refusal(503, "The server is stopping.", retry_after=5)
        if self.service is None:
            raise Refusal(503, "The model is being loaded.", retry_after=1)
        return self.service


def make_app(host: Host, *, key: str | None, hosts: Collection[str] | None) -> ASGIApp:
    """Make the application.

    Args:
        host: the model.
        key, hosts: as for `Gate`.
    """
    model = "/v2/models/{model}"
    routes = [
        *(Route(path, partial(_page, page.read(), page.media_type)) for path, page in PAGE.items()),
        Route("/openapi.json", _json_of(describe())),
        Route("/predict", partial(_predict, host), methods=["POST"]),
        Route("/metrics", partial(_metrics, host)),
        Route("/v2", _json_of({"name": "maskrt", "version": __version__, "extensions": EXTENSIONS})),
        Route("/v2/health/live", _json_of({"live": True})),
        Route("/v2/health/ready", partial(_server_ready, host)),
        Route("/v2/repository/index", partial(_index, host), methods=["POST"]),
        *(
            Route(f"{path}{end}", partial(_of_model, host, answer), methods=[method])
            for path in (model, f"{model}/versions/{{version}}")
            for end, answer, method in (
                ("", _describe, "GET"),
                ("/config", _config, "GET"),
                ("/ready", _model_ready, "GET"),
                ("/infer", _infer, "POST"),
            )
        ),
    ]
    handlers: dict[Any, Any] = {
        Refusal: _refused,
        MaskrtError: _failed,
        MemoryError: _failed,
        HTTPException: _no_such_thing,
        Exception: _broken,
    }
    return Gate(
        Starlette(routes=routes, exception_handlers=handlers),
        key=key,
        hosts=hosts,
        most=host.limits.requests,
        metrics=host.metrics,
    )


def _json(content: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    text = json.dumps(content, ensure_ascii=False).encode(errors="backslashreplace")
    return Response(text, status, headers, "application/json")


def _json_of(content: Any) -> Any:
    async def answer(request: Request) -> Response:
        return _json(content)

    return answer


async def _page(content: bytes, media_type: str, request: Request) -> Response:
    return Response(content, media_type=media_type)


async def _metrics(host: Host, request: Request) -> Response:
    host.metrics.ready.set(host.ready)
    return Response(host.metrics.text(), media_type=None, headers={"content-type": CONTENT_TYPE})


async def _server_ready(host: Host, request: Request) -> Response:
    return _json({"ready": host.ready}, 200 if host.ready else 503)


async def _index(host: Host, request: Request) -> Response:
    state = "READY" if host.ready else "UNAVAILABLE" if host.stopping else "LOADING"
    return _json([{"name": host.model, "version": kserve.VERSION, "state": state}])


async def _predict(host: Host, request: Request) -> Response:
    return await predict(request, host.take(), host.uploads, host.model)


async def _of_model(host: Host, answer: Any, request: Request) -> Response:
    name, version = request.path_params["model"], request.path_params.get("version", kserve.VERSION)
    if name != host.model:
        raise Refusal(404, f"There is no model {name[:80]!r} here; there is {host.model!r}.")
    if version != kserve.VERSION:
        raise Refusal(404, f"There is no version {version[:20]!r} of the model; there is {kserve.VERSION!r}.")
    return await answer(host, request)


async def _describe(host: Host, request: Request) -> Response:
    return _json(kserve.model_metadata(host.model, host.take().segmenter.metadata))


async def _config(host: Host, request: Request) -> Response:
    return _json(kserve.model_config(host.model, host.take().segmenter.metadata, host.batching.size))


async def _model_ready(host: Host, request: Request) -> Response:
    return _json({"name": host.model, "ready": host.ready}, 200 if host.ready else 503)


async def _infer(host: Host, request: Request) -> Response:
    service = host.take()
    body = await host.uploads.read(request)
    metadata = service.segmenter.metadata
    asked = await service.parse(
        lambda: kserve.read_request(body, request.headers.get(HEADER_LENGTH), metadata, host.limits.queue)
    )

    def encode(found: Found) -> tuple[Instances, list[bytes]]:
        return found.instances, masks_of(found.instances) if MASKS in asked.outputs else []

    with service.admit(len(asked.questions)):
        answers = await unless_gone(request, service.segment_all(asked.questions, encode))
    found, masks = zip(*answers, strict=True)
    specs = [spec for spec in outputs_of(metadata) if spec.name in asked.outputs]
    content, length = kserve.write_response(asked, lay_out(found, masks, specs), specs, host.model)
    if length is None:
        return Response(content, media_type="application/json")
    return Response(content, media_type="application/octet-stream", headers={HEADER_LENGTH: str(length)})


async def _refused(request: Request, refusal: Refusal) -> Response:
    headers = {} if refusal.retry_after is None else {"retry-after": str(refusal.retry_after)}
    if refusal.status == 408:
        headers["connection"] = "close"  # the rest of the body may still come
    return _json({"error": refusal.message}, refusal.status, headers)


async def _failed(request: Request, error: Exception) -> Response:
    refusal = Refusal.of(error)
    assert refusal is not None
    if refusal.status >= 500:
        say(f"maskrt serve: {error}", file=sys.stderr)
    return await _refused(request, refusal)


async def _no_such_thing(request: Request, error: HTTPException) -> Response:
    path = request.url.path[:80]
    sentence = f"{request.method} is not for {path}." if error.status_code == 405 else f"There is nothing at {path}."
    return _json({"error": sentence}, error.status_code, dict(error.headers or {}))


async def _broken(request: Request, error: Exception) -> Response:
    """Answer where maskrt itself is at fault; Starlette raises the error again, so that it is logged."""
    return _json({"error": "The server failed on this request; its log says why."}, 500)
