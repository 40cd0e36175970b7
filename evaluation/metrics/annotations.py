"""What is wrong with an annotation, told before hours of work.

In the end pycocotools stops at it or, without a word, counts it as never found.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any

from maskrt.errors import ArgumentError
from maskrt.runtime.masks.rle import area


def without_strokes(annotation: dict[str, Any]) -> dict[str, Any]:
    """Return an annotation without the polygons of fewer than three points, which enclose nothing.

    Labelling tools write them for a click too many. Where nothing is left, `problem_of` says so.
    """
    mask = annotation.get("segmentation")
    if not isinstance(mask, list) or not all(isinstance(polygon, list) for polygon in mask):
        return annotation
    whole = [polygon for polygon in mask if len(polygon) >= 6]
    if len(whole) == len(mask) or not whole:
        return annotation
    return {**annotation, "segmentation": whole}


def ignored_region(
    annotation: Mapping[str, Any], images: Mapping[int, dict[str, Any]], categories: Collection[int]
) -> dict[str, Any] | None:
    """Make a crowd region of the box of an annotation that has no usable mask.

    There is an object, so that what is found there is not wrong; but nobody can say how right it is.

    Args:
        annotation: one that has a problem.
        images: image id → entry of "images".
        categories: ids.

    Returns:
        None where the problem is another one.
    """
    region = {**annotation, "segmentation": None, "iscrowd": 1}
    if problem_of(region, images, categories) is not None:
        return None
    image = images[annotation["image_id"]]
    if not all(_is_number(image.get(side)) for side in ("height", "width")):
        return None
    x, y, width, height = annotation["bbox"]
    right, bottom = x + width, y + height
    return {**region, "area": width * height, "segmentation": [[x, y, right, y, right, bottom, x, bottom]]}


def problem_of(annotation: Any, images: Mapping[int, dict[str, Any]], categories: Collection[int]) -> str | None:
    """Complete a sentence that begins with "annotation 5"; None where AP can be measured with the annotation.

    Without a mask it can: of the boxes alone.

    Args:
        annotation: an entry of "annotations" of a COCO dictionary.
        images: image id → entry of "images".
        categories: ids.
    """
    if not isinstance(annotation, dict):
        return "is not an object with image_id, category_id and bbox"
    box = annotation.get("bbox")
    if not isinstance(box, list) or len(box) != 4 or not all(map(_is_number, box)):
        return "has no bbox [x, y, width, height]"
    image, category = annotation.get("image_id"), annotation.get("category_id")
    if not isinstance(image, int) or image not in images:
        return f"is of the image {image!r}, which is not in the list"
    if not isinstance(category, int) or category not in categories:
        return f"is of the category {category!r}, which is not defined"
    if not _is_number(annotation.get("area", 0)):
        return f"has the area {annotation['area']!r}, which is not a number"
    if annotation.get("iscrowd", 0) not in (0, 1):
        return f"has iscrowd {annotation['iscrowd']!r}, which should be 0 or 1"
    keypoints = annotation.get("keypoints")
    if keypoints and not (isinstance(keypoints, list) and len(keypoints) % 3 == 0 and all(map(_is_number, keypoints))):
        return "has keypoints that are not a list of x, y and visibility of each"
    mask = annotation.get("segmentation")
    return _problem_of_mask(mask, images[image]) if mask else None


def _problem_of_mask(mask: Any, image: Mapping[str, Any]) -> str | None:
    size = [image.get("height"), image.get("width")]
    if not all(map(_is_number, size)):
        return f"has a mask, for which height and width of its image {image['id']} should be given"
    if isinstance(mask, dict) and isinstance(mask.get("counts"), list | str):
        if mask.get("size") == size:
            return None if _describes(mask["counts"], size) else "has a mask whose RLE does not fit its size"
        return f"has a mask of {mask.get('size')} pixels, but its image has {size} (height, width)"
    # The first polygon tells pycocotools that these are polygons; further ones may be as short as they like.
    if isinstance(mask, list) and all(map(_is_polygon, mask)) and len(mask[0]) >= 6:
        return None
    return "has a mask that is neither polygons [[x, y, x, y, x, y, …], …] nor RLE {size, counts}"


def _describes(counts: list[Any] | str, size: list[Any]) -> bool:
    """Tell whether run lengths are those of a mask of a size: pycocotools follows others out of its memory, or on."""
    if isinstance(counts, str):
        try:
            area({"size": size, "counts": counts})
        except ArgumentError:
            return False
        return True
    return all(isinstance(count, int) and count >= 0 for count in counts) and sum(counts) == size[0] * size[1]


def _is_polygon(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_number, value))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
