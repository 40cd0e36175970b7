"""The pictures of the report, side by side: the reference and every candidate, then where each candidate differs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from maskrt.errors import ArgumentError, ImageError
from maskrt.evaluation.report.document import Block, Paragraph, Section, Strip
from maskrt.evaluation.report.inputs import Results
from maskrt.evaluation.report.models import Model
from maskrt.evaluation.report.pictures import (
    GAINED,
    LOST,
    difference_picture,
    find_difference,
    instances_from_json,
    overlay_picture,
    plain_picture,
)
from maskrt.evaluation.results.compare import Comparison, ImageRecord
from maskrt.runtime import read_image


def gallery(models: Sequence[Model], results: Results, count: int) -> Section | None:
    """Show at most `count` images, the worst of each candidate first; None without a comparison.

    Raises:
        ArgumentError: compare.json holds a damaged mask.
    """
    if results.compare is None or not results.compare.images:
        return None
    reference, threshold = results.compare.reference.name, results.compare.score_threshold
    blocks: list[Block] = [
        Paragraph(
            f"Instances with a score of at least {threshold:g}. In the dark pictures, what {reference} alone has is "
            f"{LOST}, what the file alone has is {GAINED}: filled where the masks of the same object differ, outlined "
            "where the whole object has no counterpart."
        )
    ]
    labels = {model.name: model.label for model in models}
    for entry in _chosen(results.compare, count):
        try:
            blocks.append(_strip(entry, results.compare, labels))
        except ImageError as error:
            blocks.append(Paragraph(f"The picture {entry.file} is not shown: {error}"))
    return Section("pictures", "Pictures", blocks)


def _chosen(compare: Comparison, count: int) -> list[ImageRecord]:
    """Choose the candidates' worst images, then those on which the reference found most."""
    worst = [candidate.worst_image.file for candidate in compare.candidates if candidate.worst_image]
    name = compare.reference.name

    def rank(entry: ImageRecord) -> tuple[int, int]:
        place = worst.index(entry.file) if entry.file in worst else len(worst)
        return place, -len(entry.instances.get(name, ()))

    return sorted(compare.images, key=rank)[:count]


def _strip(entry: ImageRecord, compare: Comparison, labels: Mapping[str, str]) -> Strip:
    file, size = entry.file, (entry.height, entry.width)
    image = read_image(Path(compare.image_folder) / file)
    if image.shape[:2] != size:
        raise ImageError(f"it has {image.shape[1]}x{image.shape[0]} pixels now, not {size[1]}x{size[0]}.")
    names = sorted({record.name for records in entry.instances.values() for record in records})
    sides = {
        name: instances_from_json(records, names, size, compare.keypoint_names)
        for name, records in entry.instances.items()
    }
    name = compare.reference.name
    if name not in sides:
        raise ArgumentError(f"compare.json is damaged: it has no instances of {name} on {file}. Make it again.")
    reference = sides.pop(name)
    threshold = compare.score_threshold
    shown = reference.scores >= threshold
    above = [overlay_picture(image, reference[shown], np.flatnonzero(shown).tolist(), name, file)]
    below = [plain_picture(image, file)]
    for name, found in sides.items():
        label, difference = labels.get(name, name), find_difference(reference, found, threshold)
        shown = found.scores >= threshold
        above.append(overlay_picture(image, found[shown], np.array(difference.colors)[shown].tolist(), label, file))
        below.append(difference_picture(image, difference, label, file))
    return Strip(file, [above, below])
