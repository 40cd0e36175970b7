"""`POST /predict`: a picture in, COCO records or an overlay out."""

import json
import logging
from typing import Any

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request
from starlette.responses import Response

from maskrt.runtime.draw import DrawOptions, draw_instances
from maskrt.runtime.inference.writers.overlay import encode_jpeg
from maskrt.runtime.questions.question import Question, read_threshold
from maskrt.runtime.serving.refusals import Refusal
from maskrt.runtime.serving.requests import Uploads, check_known, unless_gone
from maskrt.runtime.serving.service import Found, Service

logging.getLogger("python_multipart").setLevel(logging.ERROR)  # who sent a damaged form is told so

FORMATS = ("json", "overlay")
OPTIONS = ("score_threshold", "nms_threshold", "format")
FIELD = "image"
_RAW = (b"", b"application/octet-stream", b"application/x-www-form-urlencoded")
"""Types of bodies that are the picture itself; the last is what curl says of every file."""


async def predict(request: Request, service: Service, uploads: Uploads, model: str) -> Response:
    """Answer a request.

    Raises:
        Refusal: it cannot be answered.
        MaskrtError: what `Segmenter.predict` raises.
    """
    options = request.query_params
    check_known(options, OPTIONS, "option")
    metadata = service.segmenter.metadata
    score = read_threshold("score_threshold", options.get("score_threshold"), metadata.score_threshold)
    nms = read_threshold("nms_threshold", options.get("nms_threshold"), metadata.nms_threshold)
    form = options.get("format", "json")
    if form not in FORMATS:
        raise Refusal(400, f"format should be {' or '.join(FORMATS)}, but is {form[:50]!r}.")
    body = await uploads.read(request)
    with service.admit(1):
        question = Question(picture_of(request.headers.get("content-type", ""), body), score, nms)
        if form == "overlay":
            work = service.segment(question, lambda found: _overlay(found, service))
        else:
            work = service.segment(question, lambda found: _records(found, model))
        content = await unless_gone(request, work)
    return Response(content, media_type="image/jpeg" if form == "overlay" else "application/json")


def picture_of(content_type: str, body: bytes) -> bytes:
    """Return the picture of a body: the field `image` of a form, or the body itself.

    Raises:
        Refusal: the form is damaged, or the body is of another type.
    """
    kind, parameters = parse_options_header(content_type)
    if kind == b"multipart/form-data":
        return _field(body, parameters.get(b"boundary", b""))
    if kind in _RAW or kind.startswith(b"image/"):
        return body
    raise Refusal(
        415,
        f"Expected a picture as the body (Content-Type image/jpeg, image/png, application/octet-stream, …) or as the "
        f"field {FIELD} of multipart/form-data, but got {kind.decode('latin-1')[:80]}.",
    )


class _Form:
    """Collects the one field of a form; everything stays in memory."""

    def __init__(self) -> None:
        self.found: list[bytes] = []
        self.names: list[str] = []
        self.ended = False
        self._header = [b"", b""]
        self._headers: dict[bytes, bytes] = {}
        self._parts: list[bytes] = []

    def callbacks(self) -> dict[str, Any]:
        return {
            "on_part_begin": self._begin,
            "on_part_data": lambda data, start, end: self._parts.append(data[start:end]),
            "on_part_end": self._end,
            "on_header_field": lambda data, start, end: self._add(0, data[start:end]),
            "on_header_value": lambda data, start, end: self._add(1, data[start:end]),
            "on_header_end": self._header_end,
            "on_end": self._finish,
        }

    def _begin(self) -> None:
        self._headers, self._parts = {}, []

    def _add(self, place: int, data: bytes) -> None:
        self._header[place] += data

    def _header_end(self) -> None:
        name, value = self._header
        self._headers[name.lower()] = value
        self._header = [b"", b""]

    def _end(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        name = options.get(b"name", b"").decode("utf-8", "replace")
        self.names.append(name)
        if name == FIELD:
            self.found.append(b"".join(self._parts))

    def _finish(self) -> None:
        self.ended = True


def _field(body: bytes, boundary: bytes) -> bytes:
    form = _Form()
    try:
        parser = MultipartParser(boundary, form.callbacks())  # type: ignore[arg-type]  # a TypedDict of these
        parser.write(body)
        parser.finalize()
    except (FormParserError, ValueError):
        form.ended = False
    if not form.ended:
        raise Refusal(400, "The multipart form is damaged or cut off.")
    if form.names != [FIELD]:
        names = ", ".join(repr(name[:50]) for name in form.names[:5]) or "none"
        raise Refusal(400, f"Expected one field, {FIELD}, in the form, but got {names}. Options go into the URL.")
    return form.found[0]


def _records(found: Found, model: str) -> bytes:
    instances = found.instances
    height, width = instances.image_size
    records = [
        {"category": name, **{key: value for key, value in record.items() if key != "image_id"}}
        for name, record in zip(instances.names, instances.to_coco(0), strict=True)
    ]
    content = {
        "model": model,
        "image_size": [height, width],
        "instances": records,
        "seconds": {stage: round(value, 6) for stage, value in found.seconds.items()},
    }
    return json.dumps(content, ensure_ascii=False).encode(errors="backslashreplace")


def _overlay(found: Found, service: Service) -> bytes:
    image = service.decode(found.picture)
    return encode_jpeg(draw_instances(image, found.instances, options=DrawOptions()))
