"""The interface as OpenAPI 3.1, at `/openapi.json`."""

from typing import Any

from maskrt import __version__
from maskrt.contract.serving import HEADER_LENGTH, INPUTS

_ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {"error": {"type": "string", "description": "A sentence: what was given, what was expected."}},
}
_FRACTION = {"type": "number", "minimum": 0, "maximum": 1}
_NAME = {"name": "model", "in": "path", "required": True, "schema": {"type": "string"}}


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


def _responses(content: dict[str, Any], *statuses: int, description: str = "Done.") -> dict[str, Any]:
    refused = {
        str(status): {"description": _REFUSALS[status], "content": _json({"$ref": "#/components/schemas/Error"})}
        for status in statuses
    }
    return {"200": {"description": description, "content": content}, **refused}


_REFUSALS = {
    400: "The request is damaged, or asks for what there is not.",
    401: "The key is missing or wrong.",
    404: "There is no such model.",
    408: "The body came too slowly.",
    413: "The body or the picture is too large.",
    415: "The body is of a type that is not taken.",
    503: "The server is busy, loading or stopping; Retry-After says when to come back.",
}
_ALL = tuple(_REFUSALS)

_PREDICTION = {
    "type": "object",
    "required": ["model", "image_size", "instances", "seconds"],
    "properties": {
        "model": {"type": "string"},
        "image_size": {"type": "array", "items": {"type": "integer"}, "description": "height, width"},
        "instances": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["category", "category_id", "bbox", "score"],
                "properties": {
                    "category": {"type": "string"},
                    "category_id": {"type": "integer", "minimum": 1},
                    "bbox": {"type": "array", "items": {"type": "number"}, "description": "x, y, width, height"},
                    "score": _FRACTION,
                    "segmentation": {
                        "type": "object",
                        "required": ["size", "counts"],
                        "properties": {
                            "size": {"type": "array", "items": {"type": "integer"}},
                            "counts": {"type": "string", "description": "COCO's compressed run-length encoding"},
                        },
                    },
                    "keypoints": {"type": "array", "items": {"type": "number"}},
                },
            },
        },
        "seconds": {"type": "object", "additionalProperties": {"type": "number"}},
    },
}

_TENSOR = {
    "type": "object",
    "required": ["name", "datatype", "shape"],
    "properties": {
        "name": {"type": "string"},
        "datatype": {"type": "string"},
        "shape": {"type": "array", "items": {"type": "integer", "minimum": 0}},
        "parameters": {"type": "object"},
        "data": {"type": "array"},
    },
}


def describe() -> dict[str, Any]:
    """Return the description as JSON values."""
    binary = {"schema": {"type": "string", "format": "binary", "minLength": 1}}
    inputs = "; ".join(f"{spec.name} {spec.datatype} {list(spec.shape)}" for spec in INPUTS)
    return {
        "openapi": "3.1.0",
        "info": {"title": "maskrt serve", "version": __version__},
        "paths": {
            "/predict": {
                "post": {
                    "summary": "Find the instances in a picture.",
                    "parameters": [
                        {"name": "score_threshold", "in": "query", "schema": _FRACTION},
                        {"name": "nms_threshold", "in": "query", "schema": _FRACTION},
                        {"name": "format", "in": "query", "schema": {"enum": ["json", "overlay"]}},
                    ],
                    "requestBody": {
                        "required": True,
                        "content": {
                            "image/jpeg": binary,
                            "image/png": binary,
                            "application/octet-stream": binary,
                            "multipart/form-data": {
                                "schema": {
                                    "type": "object",
                                    "required": ["image"],
                                    "properties": {"image": {"type": "string", "format": "binary"}},
                                }
                            },
                        },
                    },
                    "responses": _responses({**_json(_PREDICTION), "image/jpeg": binary}, *(_set(_ALL, 404))),
                }
            },
            "/v2/models/{model}/infer": {
                "post": {
                    "summary": "Find the instances in several pictures: the KServe protocol, version 2.",
                    "description": f"Inputs: {inputs}. With {HEADER_LENGTH}, binary tensors follow the JSON.",
                    "parameters": [_NAME],
                    "requestBody": {
                        "required": True,
                        "content": _json(
                            {
                                "type": "object",
                                "required": ["inputs"],
                                "properties": {
                                    "id": {"type": "string"},
                                    "inputs": {"type": "array", "minItems": 1, "items": _TENSOR},
                                    "outputs": {"type": "array", "items": {"type": "object"}},
                                    "parameters": {"type": "object"},
                                },
                            }
                        ),
                    },
                    "responses": _responses(_json({"type": "object", "required": ["outputs"]}), *_ALL),
                }
            },
            "/v2/models/{model}": _get("The inputs and outputs.", 401, 404, 503, parameters=[_NAME]),
            "/v2/models/{model}/config": _get("The names of the classes, …", 401, 404, 503, parameters=[_NAME]),
            "/v2/models/{model}/ready": _get("Whether the model is ready.", 401, 404, 503, parameters=[_NAME]),
            "/v2/health/live": _get("Whether the server is alive."),
            "/v2/health/ready": _get("Whether requests are taken.", 503),
            "/v2": _get("What this server is.", 401),
        },
        "components": {"schemas": {"Error": _ERROR}},
    }


def _set(statuses: tuple[int, ...], without: int) -> tuple[int, ...]:
    return tuple(status for status in statuses if status != without)


def _get(summary: str, *statuses: int, parameters: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    return {
        "get": {
            "summary": summary,
            "parameters": parameters or [],
            "responses": _responses(_json({"type": "object"}), *statuses),
        }
    }
