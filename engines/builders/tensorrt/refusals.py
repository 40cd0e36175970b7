"""Which operator of a file TensorRT does not take, in its own words and with the name of the node.

Its log begins with whatever failed first, deep in the parser, and repeats it at each level. The parser can be asked
instead: it goes through the whole graph and keeps an error for each node.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from maskrt.engines.builders.tensorrt.remedies import remedies
from maskrt.plugins.attributes import RoiAlignAttributes
from maskrt.plugins.detection_attributes import DetectionAttributes
from maskrt.plugins.proposal_attributes import ProposalAttributes

_MOST_SHOWN = 3


@dataclass(frozen=True)
class Refusal:
    """A node that cannot be built, and why; the reason may be empty."""

    operator: str
    node: str
    reason: str

    def __str__(self) -> str:
        reason = f" ({self.reason})" if self.reason else ""
        return f"the operator {self.operator} of the node {self.node}{reason}"


def without_kernel(operators: Mapping[str, str], lacking: Collection[str]) -> list[Refusal]:
    """Find the operators that the parser takes, but for which the package has nothing that runs them.

    Args:
        operators: of the file, each with the name of a node of it.
        lacking: those that the package cannot run.
    """
    return [Refusal(name, node, "it has none that runs") for name, node in operators.items() if name in lacking]


def beyond_the_kernels(operators: Mapping[str, str], attributes: Mapping[str, Mapping[str, Any]]) -> list[Refusal]:
    """Find the nodes that ask more of a plugin than its kernels can do.

    Args:
        operators: of the nodes that must become plugin layers, by the name of the layer.
        attributes: of the same nodes.
    """
    found = []
    for node, operator in operators.items():
        reason = _what_is_beyond(operator, attributes.get(node, {}))
        if reason is not None:
            found.append(Refusal(operator, node, reason))
    return found


def _proposals(values: Mapping[str, Any]) -> str | None:
    attributes = ProposalAttributes(**values)
    reason = attributes.what_the_kernels_cannot()
    return None if reason is None else f"it has {reason}"


def _checked(attributes: Callable[..., object]) -> Callable[[Mapping[str, Any]], None]:
    """For an operator whose attributes are checked wholly when they are made."""

    def check(values: Mapping[str, Any]) -> None:
        attributes(**values)

    return check


_LIMITS: Mapping[str, Callable[[Mapping[str, Any]], str | None]] = {
    "GenerateProposals": _proposals,
    "DetectionOutput": _checked(DetectionAttributes),
    "MultilevelRoIAlign": _checked(RoiAlignAttributes),
}
"""By operator: says of a node's attributes what is too much in them, if something is, or raises it."""


def _what_is_beyond(operator: str, values: Mapping[str, Any]) -> str | None:
    given = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in values.items()
        if not name.startswith("plugin_")  # tells TensorRT's parser which plugin it is
    }
    try:
        return _LIMITS[operator](given) if operator in _LIMITS else None
    except (TypeError, ValueError) as error:
        return str(error)


def find_refusals(trt: ModuleType, content: bytes) -> list[Refusal]:
    """Ask the parser about each node of a file.

    Args:
        trt: TensorRT, with the plugins loaded.
        content: of the ONNX file.

    Returns:
        Nothing where the parser takes the file, or where this version of it cannot be asked.
    """
    logger = trt.Logger(trt.Logger.Severity.INTERNAL_ERROR)
    flags = trt.NetworkDefinitionCreationFlag
    typed = 1 << int(flags.STRONGLY_TYPED) if hasattr(flags, "STRONGLY_TYPED") else 0
    builder = trt.Builder(logger)
    network = builder.create_network(typed)  # named: the parser does not keep it alive
    parser = trt.OnnxParser(network, logger)
    if not hasattr(parser, "supports_model_v2") or parser.supports_model_v2(content):
        return []
    errors = [parser.get_error(index) for index in range(parser.num_errors)]
    return list(
        dict.fromkeys(
            Refusal(error.node_operator(), error.node_name() or f"number {error.node()}", _words(error.desc()))
            for error in errors
            if error.node_operator()
        )
    )


def sentence(refusals: list[Refusal]) -> str:
    """Say what is refused, and what to do."""
    shown = "; ".join(map(str, refusals[:_MOST_SHOWN]))
    more = f"; and {len(refusals) - _MOST_SHOWN} more" if len(refusals) > _MOST_SHOWN else ""
    return (
        f"it does not take {shown}{more}. {remedies(refusal.operator for refusal in refusals[:_MOST_SHOWN])} Then "
        "export the model again; or run the ONNX file itself: `maskrt infer`."
    )


def _words(description: str) -> str:
    """Shorten what the parser says: an assertion in its source, mostly."""
    words = " ".join(description.split())
    words = re.sub(r"^Assertion failed: ", "", words)
    # What it does not know it takes for a plugin that is missing.
    return "" if words in ("", "false") or re.search("plugin.*not found", words.lower()) else words[:200]
