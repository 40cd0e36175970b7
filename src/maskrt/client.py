"""Instances from a server: `maskrt serve`, or Triton or KServe with a model of the same tensors.

    from maskrt.client import Client

    client = Client("http://127.0.0.1:8000")
    instances = client.predict("street.jpg", score_threshold=0.5)

The results are what `Segmenter.predict` gives on the server. No inference engine is needed here.
"""

import http.client
import json
import math
import time
import urllib.parse
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Empty, LifoQueue
from typing import Any, NamedTuple, overload

import numpy as np

from maskrt.contract.serving import (
    BYTES,
    CLASS_NAMES,
    HEADER_LENGTH,
    IMAGE,
    KEYPOINT_NAMES,
    PIXELS,
    binary_size,
    from_binary,
    to_binary,
)
from maskrt.contract.tensors import (
    BOXES,
    IMAGE_SIZES,
    KEYPOINTS,
    LABELS,
    MASKS,
    NMS_THRESHOLD,
    NUM_DETECTIONS,
    SCORE_THRESHOLD,
    SCORES,
    Threshold,
    check_count,
    check_threshold,
)
from maskrt.errors import ArgumentError, ImageError, ServerError
from maskrt.runtime.images.read import check_file, check_image, is_image
from maskrt.runtime.streaming.stages import ImageLike
from maskrt.runtime.structures.instances import Instances
from maskrt.runtime.structures.masks import RleMasks


class _Answer(NamedTuple):
    """Of the server."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Client:
    """A model on a server. May be used by several threads.

    Args:
        url: of the server, for example "http://127.0.0.1:8000"; what lies in front of /v2 where that is no root.
        model: its name there. None: the only one.
        class_names: that the model should have; None: those that the server says.
        api_key: that the server asks for.
        timeout: seconds that an answer may take. A server that is busy is asked again until then.
        requests_at_once: pictures of a list that are on their way at the same time, so that the server can batch them.

    Attributes:
        model: the name of the model.
        class_names: the name of each label; label 0 is the background.
        keypoint_names: of each keypoint; none for a model without keypoints.

    Raises:
        ArgumentError: not the address of a server, or numbers below 1.
        ServerError: the server cannot be reached, has no such model, or one of other classes.
    """

    def __init__(
        self,
        url: str,
        *,
        model: str | None = None,
        class_names: Sequence[str] | None = None,
        api_key: str | None = None,
        timeout: float = 60.0,
        requests_at_once: int = 8,
    ) -> None:
        check_count("requests_at_once", requests_at_once)
        parts = urllib.parse.urlsplit(url)
        try:
            self._address = parts.hostname or "", parts.port
        except ValueError:
            self._address = "", None
        if parts.scheme not in ("http", "https") or not self._address[0]:
            raise ArgumentError(f"Expected the address of a server, such as http://127.0.0.1:8000, but got {url!r}.")
        self.url = url.rstrip("/")
        self._connect = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._path = parts.path.rstrip("/")
        self._headers = {} if api_key is None else {"Authorization": f"Bearer {api_key}"}
        self._timeout, self._at_once = timeout, requests_at_once
        self._idle: LifoQueue[http.client.HTTPConnection] = LifoQueue()
        self.model = self._only_model() if model is None else model
        self._place = f"/v2/models/{urllib.parse.quote(self.model, safe='')}"
        names, self.keypoint_names = self._names()
        if class_names is not None and names is not None and tuple(class_names) != names:
            raise ServerError(
                f"The model {self.model} of {self.url} finds {_list(names[1:])}, but {_list(list(class_names)[1:])} "
                "were expected: it is another model."
            )
        if names is None and class_names is None:
            raise ServerError(f"{self.url} does not say the class names of {self.model}: give class_names.")
        self.class_names = tuple(class_names or ()) if names is None else names

    def __repr__(self) -> str:
        return f"Client({self.url}: {self.model}, {len(self.class_names) - 1} classes)"

    def ready(self) -> bool:
        """Tell whether the server takes requests; False also where there is none."""
        try:
            return self._ask_once("GET", "/v2/health/ready", None, {}).status == 200
        except ServerError:
            return False

    @overload
    def predict(  # type: ignore[overload-overlap]  # a str is an image, never a sequence of them
        self, images: ImageLike, *, score_threshold: Threshold | None = None, nms_threshold: Threshold | None = None
    ) -> Instances: ...
    @overload
    def predict(
        self,
        images: Sequence[ImageLike],
        *,
        score_threshold: Threshold | None = None,
        nms_threshold: Threshold | None = None,
    ) -> list[Instances]: ...
    def predict(
        self,
        images: ImageLike | Sequence[ImageLike],
        *,
        score_threshold: Threshold | None = None,
        nms_threshold: Threshold | None = None,
    ) -> Instances | list[Instances]:
        """Find the instances in one image, or in several.

        Args:
            images: as for `Segmenter.predict`. Image files are sent as they are, arrays as pixels.
            score_threshold, nms_threshold: one for all images, or one for each. None: the model's own.

        Returns:
            `Instances` for one image, a list of them for a sequence.

        Raises:
            ArgumentError: not an image, or a threshold outside of 0 to 1.
            ImageError: an image file cannot be read here.
            ServerError: the server cannot be reached, refuses an image, or answers what it should not.
        """
        single = isinstance(images, (str, Path)) or is_image(images)
        if not single and not isinstance(images, Sequence):
            check_image(images)  # says what was expected
        several: Sequence[ImageLike] = [images] if single else images  # type: ignore[list-item, assignment]
        scores = _one_each(SCORE_THRESHOLD, score_threshold, len(several))
        overlaps = _one_each(NMS_THRESHOLD, nms_threshold, len(several))
        with ThreadPoolExecutor(min(self._at_once, len(several)) or 1) as pool:
            results = list(pool.map(self._predict, several, scores, overlaps))
        return results[0] if single else results

    def _predict(self, image: ImageLike, score: float | None, overlap: float | None) -> Instances:
        inputs = [_input_of(image)]
        for name, value in ((SCORE_THRESHOLD, score), (NMS_THRESHOLD, overlap)):
            if value is not None:
                inputs.append((name, "FP64", [1, 1], to_binary(np.array([value]), "FP64")))
        tensors = [
            {"name": name, "datatype": datatype, "shape": shape, "parameters": {"binary_data_size": len(data)}}
            for name, datatype, shape, data in inputs
        ]
        head = json.dumps({"inputs": tensors, "parameters": {"binary_data_output": True}}).encode()
        headers = {HEADER_LENGTH: str(len(head)), "Content-Type": "application/octet-stream"}
        body = b"".join((head, *(data for _, _, _, data in inputs)))
        answer = self._ask("POST", f"{self._place}/infer", body, headers)
        try:
            return self._instances(_tensors_of(answer))
        except (ValueError, KeyError, TypeError, IndexError) as error:
            raise self._odd(f"its tensors are none of maskrt's ({type(error).__name__}: {error})") from None

    def _instances(self, tensors: Mapping[str, Any]) -> Instances:
        """Make the instances of the one picture of a response; where a tensor is missing or damaged, some error."""
        number = int(tensors[NUM_DETECTIONS][0, 0])
        height, width = tensors[IMAGE_SIZES][0].tolist()
        boxes, scores, labels = (tensors[name][0, :number].copy() for name in (BOXES, SCORES, LABELS))
        if not len(boxes) == len(scores) == len(labels) == number:
            raise ValueError(f"{number} detections in rows for {len(boxes)}")
        unknown = labels[(labels < 1) | (labels >= len(self.class_names))]
        if len(unknown):
            raise ServerError(
                f"{self.url} answered with label {unknown[0]}, but {self.model} had {len(self.class_names) - 1} "
                "classes when this client was made: it is another model now. Make a new client."
            )
        masks = None
        if MASKS in tensors:
            counts = [text.decode("ascii") for text in tensors[MASKS][:number]]
            masks = RleMasks(tuple({"size": [height, width], "counts": text} for text in counts))
        keypoints = tensors[KEYPOINTS][0, :number].copy() if KEYPOINTS in tensors else None
        return Instances(
            boxes, scores, labels, masks, self.class_names, (height, width), keypoints, self.keypoint_names
        )

    def _only_model(self) -> str:
        models = self._json("POST", "/v2/repository/index")
        try:
            names = [str(model["name"]) for model in models]
        except (TypeError, KeyError):
            raise self._odd("its index of models is none") from None
        if len(names) != 1:
            raise ServerError(f"{self.url} has {len(names)} models ({_list(names)}): name one, Client(url, model=...).")
        return names[0]

    def _names(self) -> tuple[tuple[str, ...] | None, tuple[str, ...]]:
        """Ask for the names of the classes, None where the server does not say, and of the keypoints."""
        config = self._json("GET", f"{self._place}/config")
        try:
            parameters = config.get("parameters", {})
            texts = [parameters.get(name, {}).get("string_value") for name in (CLASS_NAMES, KEYPOINT_NAMES)]
            classes, keypoints = (None if text is None else tuple(map(str, json.loads(text))) for text in texts)
        except (AttributeError, TypeError, ValueError):
            raise self._odd("its configuration is none") from None
        return classes, keypoints or ()

    def _json(self, method: str, path: str) -> Any:
        try:
            return json.loads(self._ask(method, path, None, {}).body)
        except ValueError:
            raise self._odd("it is not JSON") from None

    def _odd(self, reason: str) -> ServerError:
        return ServerError(f"{self.url} did not answer as a server of maskrt: {reason}.")

    def _ask(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> _Answer:
        """Ask until the server has time.

        Raises:
            ServerError: it refuses, has no time within the timeout, or cannot be reached.
        """
        end = time.monotonic() + self._timeout
        while True:
            answer = self._ask_once(method, path, body, headers)
            if answer.status == 200:
                return answer
            wait = _seconds(answer.headers.get("retry-after"))
            if answer.status != 503 or wait is None or time.monotonic() + wait > end:
                raise ServerError(f"{self.url} answered {answer.status}: {_sentence(answer.body)}")
            time.sleep(wait)

    def _ask_once(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> _Answer:
        """Ask over a connection that is there, or a new one: the server may have closed the other in the meantime."""
        try:
            connection, fresh = self._idle.get_nowait(), False
        except Empty:
            connection, fresh = self._connect(*self._address, timeout=self._timeout), True
        try:
            connection.request(method, self._path + path, body, {**self._headers, **headers})
            response = connection.getresponse()
            answer = _Answer(
                response.status, {name.lower(): value for name, value in response.getheaders()}, response.read()
            )
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            if not fresh and not isinstance(error, TimeoutError):
                return self._ask_once(method, path, body, headers)
            reason = f"no answer within {self._timeout:g} s" if isinstance(error, TimeoutError) else error
            raise ServerError(f"{self.url} cannot be reached: {reason}. Is it running?") from None
        self._idle.put(connection)
        return answer

    def close(self) -> None:
        """Close the connections."""
        while not self._idle.empty():
            self._idle.get_nowait().close()

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def _input_of(image: ImageLike) -> tuple[str, str, list[int], bytes]:
    if isinstance(image, (str, Path)):
        path = Path(image)
        check_file(path)
        try:
            data = path.read_bytes()
        except OSError as error:
            raise ImageError(f"{path} cannot be read: {error.strerror or error}.") from None
        return IMAGE, BYTES, [1, 1], to_binary([data], BYTES)
    pixels = check_image(image)
    return PIXELS, "UINT8", [1, *pixels.shape], to_binary(pixels, "UINT8")


def _one_each(name: str, value: Threshold | None, images: int) -> Sequence[float | None]:
    if value is None:
        return [None] * images
    values = np.asarray(check_threshold(name, value, 0.0), np.float64).reshape(-1).tolist()
    if len(values) not in (1, images):
        raise ArgumentError(f"{name} should be one number or one per image, but there are {len(values)} for {images}.")
    return values * images if len(values) == 1 else values


def _tensors_of(answer: _Answer) -> dict[str, Any]:
    """Read the outputs of a response: arrays, and of BYTES lists."""
    length = int(answer.headers.get(HEADER_LENGTH.lower(), len(answer.body)))
    content = json.loads(answer.body[:length])
    values, at = {}, length
    for tensor in content["outputs"]:
        size = binary_size(tensor)
        name, datatype, shape = tensor["name"], tensor["datatype"], tensor["shape"]
        if size is None:  # a server may answer in JSON all the same
            value = tensor["data"]
            values[name] = (
                [text.encode() for text in value]
                if datatype == BYTES
                else np.array(value, np.int32 if datatype == "INT32" else np.float32).reshape(shape)
            )
        else:
            values[name] = from_binary(answer.body[at : at + size], datatype, shape)
            at += size
    return values


def _seconds(text: str | None) -> float | None:
    """Read Retry-After; None where it is missing, or a date."""
    return float(text) if text is not None and text.isdecimal() and math.isfinite(float(text)) else None


def _sentence(body: bytes) -> str:
    try:
        return str(json.loads(body)["error"])
    except (ValueError, KeyError, TypeError):
        return body[:200].decode("utf-8", "replace").strip() or "(nothing)"


def _list(names: Sequence[str]) -> str:
    return ", ".join(names[:8]) + (", …" if len(names) > 8 else "") if names else "nothing"
