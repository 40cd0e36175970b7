"""From a picture to the network's input, read off an mmdetection config: the test pipeline and the preprocessor.

mmdetection 2.x states the normalisation and the padding as steps of the pipeline, 3.x in `data_preprocessor`.
"""

from __future__ import annotations

from collections.abc import Iterator

from maskrt.contract.pipeline import Resize
from maskrt.export.families.config import Section
from maskrt.export.families.mmdet.support import check_class, type_of
from maskrt.export.rcnn.spec import Normalization

_PACKING = ("LoadAnnotations", "PackDetInputs", "ImageToTensor", "DefaultFormatBundle", "Collect", "RandomFlip")
"""Steps that leave the picture as it is; `RandomFlip` does so within a `MultiScaleFlipAug` whose `flip` is False."""


def picture_rules(config: Section) -> tuple[Resize, Normalization, int]:
    """How pictures are resized and normalised, and what the sides of a canvas are multiples of.

    Raises:
        UnsupportedModelError: a step of the pipeline cannot be expressed; the message names it.
    """
    steps: dict[str, Section] = {}
    for name, step in _steps(config):
        if name in steps:
            raise step.refusal("type", f"no second {name}")
        steps[name] = step
    if "Resize" not in steps:
        raise config.error("has no Resize in its test pipeline; expected one with keep_ratio=True")
    model = config.section("model")
    if "Normalize" in steps:
        settings, key = steps["Normalize"], "to_rgb"
        divisor = steps["Pad"].count("size_divisor", 1) if "Pad" in steps else 1
    else:
        settings, key = model.section("data_preprocessor"), "bgr_to_rgb"
        check_class(settings, ("DetDataPreprocessor",))
        divisor = settings.count("pad_size_divisor", 1)
        if "Pad" in steps:
            raise steps["Pad"].refusal("type", "no such step, but data_preprocessor.pad_size_divisor")
    colors = "RGB" if settings.flag(key, key == "to_rgb") else "BGR"
    return _resize(steps["Resize"]), _normalization(settings, colors), divisor


def _steps(config: Section) -> Iterator[tuple[str, Section]]:
    """Return the steps that do something, by name; each step is checked."""
    for section in _unpacked(*_pipeline(config)):
        if type_of(section) not in _PACKING:
            yield check_class(section, ("LoadImageFromFile", "Resize", "Normalize", "Pad")), section


def _pipeline(config: Section) -> tuple[Section, str]:
    """Where the list of steps is: a section and its key."""
    for path in ("test_pipeline", "test_dataloader.dataset.pipeline", "data.test.pipeline"):
        *parents, key = path.split(".")
        section = config
        while parents and isinstance(section.get(parents[0], None), dict):
            section = section.section(parents.pop(0))
        if not parents and key in section.values:
            return section, key
    raise config.error("has no test_pipeline; expected the list of its steps")


def _unpacked(parent: Section, key: str) -> Iterator[Section]:
    steps = parent.get(key)
    if not isinstance(steps, list | tuple) or not all(isinstance(step, dict) for step in steps):
        raise parent.refusal(key, "a list of steps, each a dict(type=…)")
    for number, step in enumerate(steps):
        section = parent.item(key, number, step)
        if type_of(section) == "MultiScaleFlipAug":
            check_class(section, ("MultiScaleFlipAug",))
            for inner in _unpacked(section, "transforms"):
                if type_of(inner) == "Resize":
                    inner = inner.with_values({"img_scale": section.get("img_scale"), **inner.values})
                yield inner
        elif type_of(section) == "RandomFlip" and type_of(parent) != "MultiScaleFlipAug":
            raise section.refusal("type", "no such step in a test pipeline")
        else:
            yield section


def _resize(step: Section) -> Resize:
    """Mmcv's `rescale_size`: the larger side of the scale bounds the longer side, the smaller the shorter."""
    key = "scale" if "scale" in step.values else "img_scale"
    # mmdetection 2, which says img_scale, keeps the ratio by default; 3 does not.
    step.one_of("keep_ratio", (True,), key == "img_scale")
    scale = step.values.get(key)
    if isinstance(scale, list | tuple) and len(scale) == 1 and isinstance(scale[0], list | tuple):
        step = step.with_values({**step.values, key: scale[0]})
    sides = step.counts(key)
    if len(sides) != 2:
        raise step.refusal(key, "two whole numbers, the bounds of the longer and of the shorter side")
    return Resize("fit", "opencv_bilinear", min(sides), max(sides))


def _normalization(settings: Section, colors: str) -> Normalization:
    values = []
    for key, absent in (("mean", (0.0, 0.0, 0.0)), ("std", (1.0, 1.0, 1.0))):
        given = settings.get(key, None)
        values.append(absent if given is None else settings.numbers(key, 3))
    mean, std = values
    if min(std) < 1e-3:
        raise settings.refusal("std", "numbers from 0.001")
    return Normalization(colors, 1, mean, std)  # type: ignore[arg-type]
