"""Objects followed from frame to frame: ByteTrack, by the package trackers."""

from __future__ import annotations

import dataclasses

import numpy as np

from maskrt.errors import DependencyError
from maskrt.runtime.structures.instances import Instances

_INSTALL = (
    "`pip install maskrt[track]`, then `pip install --no-deps trackers`: by itself it would bring opencv-python, which "
    "takes the place of opencv-python-headless"
)


class Tracker:
    """Gives each object of a video a number that it keeps.

    ByteTrack (Zhang et al., "ByteTrack: Multi-Object Tracking by Associating Every Detection Box", 2022) joins boxes to
    what a Kalman filter expects, those with high scores first; the settings are the package's own. An object has its
    number from the second frame in which it is found; it is lost after a second without it.

    Raises:
        DependencyError: trackers is not installed.
    """

    def __init__(self) -> None:
        try:
            from trackers import ByteTrackTracker
        except ImportError as error:
            raise DependencyError(f"--track needs trackers ({error}): {_INSTALL}.") from error
        self._tracker = ByteTrackTracker()

    def follow(self, instances: Instances, seconds: float) -> Instances:
        """Find the objects of a frame among those of the frames before.

        Args:
            instances: of the frame.
            seconds: of the frame, which does not lie before the last one.

        Returns:
            The same instances with `track_ids`.
        """
        import supervision

        detections = supervision.Detections(
            xyxy=instances.boxes.astype(np.float64),
            confidence=instances.scores.copy(),
            class_id=instances.labels.astype(int),
            data={"number": np.arange(len(instances))},
        )
        found = self._tracker.update(detections, timestamp=seconds)
        track_ids = np.zeros(len(instances), np.int32)
        if len(found):
            track_ids[found.data["number"]] = np.asarray(found.tracker_id) + 1  # from 0; -1: not followed
        return dataclasses.replace(instances, track_ids=track_ids)
