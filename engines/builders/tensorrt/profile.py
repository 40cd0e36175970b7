"""The canvases that an engine takes: parsing, defaults, and whether the model can take them."""

from __future__ import annotations

import re
from collections.abc import Callable

from maskrt.contract.metadata import ModelMetadata
from maskrt.contract.tensors import LIMITS
from maskrt.engines.request import Canvas
from maskrt.engines.targets import GpuTarget
from maskrt.errors import ArgumentError
from maskrt.runtime.backends.tensorrt.manifest import Profile

_AXES = ("batch", "height", "width")


def parse_canvas(text: str) -> Canvas:
    """Return a canvas shape from text like "8x1344x1344".

    Raises:
        ArgumentError: the text is something else.
    """
    match = re.fullmatch(r"(\d{1,9})x(\d{1,9})x(\d{1,9})", text.strip().lower())
    if match is None:
        raise ArgumentError(f"A canvas is BATCHxHEIGHTxWIDTH, for example 8x1344x1344, but got {text!r}.")
    batch, height, width = map(int, match.groups())
    return batch, height, width


def format_canvas(canvas: Canvas) -> str:
    """Write a canvas as text, for example `8x1344x1344`."""
    return "x".join(map(str, canvas))


def make_profile(
    metadata: ModelMetadata,
    target: GpuTarget,
    minimum: Canvas | None = None,
    optimum: Canvas | None = None,
    maximum: Canvas | None = None,
) -> Profile:
    """Return the profile of an engine. What is not given follows from the model's resize policy and the target's batch.

    The default takes every image that the resize policy makes: one side is at most `max_size`, the other one may be as
    short as `size_divisor`. It is tuned for one landscape image.

    Raises:
        ArgumentError: the model cannot take it; the message says which number is wrong.
    """
    divisor = metadata.pipeline.size_divisor
    for point, canvas in (("min", minimum), ("opt", optimum), ("max", maximum)):
        if canvas is not None:
            _check_canvas(point, canvas, divisor)
    policy = metadata.pipeline.resize
    short, long = (-(-size // divisor) * divisor for size in (policy.min_size, policy.max_size))
    largest = maximum or _elementwise(max, (target.max_batch, long, long), optimum, minimum)
    smallest = minimum or _elementwise(min, (1, divisor, divisor), optimum, largest)
    tuned = optimum or _elementwise(min, _elementwise(max, (1, min(short, long), long), smallest), largest)
    profile = Profile(min=smallest, opt=tuned, max=largest)
    _check_order(profile)
    return profile


def _elementwise(choose: Callable[[tuple[int, ...]], int], first: Canvas, *others: Canvas | None) -> Canvas:
    batch, height, width = (choose(values) for values in zip(first, *filter(None, others), strict=True))
    return batch, height, width


def _check_canvas(point: str, canvas: Canvas, divisor: int) -> None:
    given = f"the profile's {point} {format_canvas(canvas)}"
    if canvas[0] < 1:
        raise ArgumentError(f"The batch of {given} is {canvas[0]}, but must be at least 1.")
    for axis, size in zip(_AXES[1:], canvas[1:], strict=True):
        if size < divisor or size % divisor:
            below, above = size // divisor * divisor, (size // divisor + 1) * divisor
            near = f"{below} or {above}" if below else f"{above}"
            raise ArgumentError(f"The {axis} of {given} must be a multiple of {divisor}: {near}.")
    for axis, size, limit in zip(_AXES, canvas, LIMITS, strict=True):
        if size > limit:
            raise ArgumentError(f"The {axis} of {given} is beyond what the model takes, {limit}.")


def _check_order(profile: Profile) -> None:
    for axis, *sizes in zip(_AXES, profile.min, profile.opt, profile.max, strict=True):
        if sorted(sizes) != sizes:
            raise ArgumentError(
                f"The profile's {axis} must not fall from min to opt to max, but is {sizes[0]}, {sizes[1]}, {sizes[2]}."
            )
