"""The name of each keypoint of a model."""

from __future__ import annotations

from collections.abc import Sequence

from maskrt.export.errors import UnsupportedModelError


def keypoint_names(known: Sequence[str] | None, count: int) -> tuple[str, ...]:
    """Return a name for each keypoint.

    Args:
        known: what the source says of them; None: nothing.
        count: how many heatmaps the model has.

    Raises:
        UnsupportedModelError: there is no keypoint, or another number of names.
    """
    if count < 1:
        raise UnsupportedModelError("cannot export a keypoint head without keypoints: expected at least one")
    if known is None:
        return tuple(f"keypoint_{number}" for number in range(1, count + 1))
    if len(known) != count or not all(isinstance(name, str) for name in known):
        raise UnsupportedModelError(
            f"the model has {count} keypoints, but its keypoint_names are {len(known)}: expected a text for each"
        )
    return tuple(known)
