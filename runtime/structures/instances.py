"""The result of instance segmentation on one image."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from maskrt.errors import ArgumentError, DependencyError
from maskrt.files import check_writable, write_in_one_step
from maskrt.runtime.draw import DrawOptions, draw_instances
from maskrt.runtime.masks.polygons import polygons_of
from maskrt.runtime.masks.rle import RLE
from maskrt.runtime.structures.masks import GridMasks, Masks


@dataclass(frozen=True, repr=False, eq=False)
class Instances:
    """N objects found in one image, best score first.

    Indexing with an integer, a slice, a boolean array or an integer array gives `Instances` again:
    `instances[instances.scores > 0.8]`, `instances[:3]`.

    Attributes:
        boxes: [N, 4] float32 xyxy, pixels of the original image.
        scores: [N] float32, 0 to 1.
        labels: [N] int32, index into `class_names`; 0, the background, does not occur.
        segmentations: the masks in the form in which they came, see `masks`, `rle` and `crops`; None for a model
            without masks.
        class_names: all names the model knows, index = label.
        image_size: (height, width) of the original image.
        keypoints: [N, K, 3] float32, x and y in pixels of the original image, and a score: of torchvision's models a
            logit, of detectron2's a share of a softmax; None for a model without keypoints.
        keypoint_names: of the K keypoints.
        track_ids: [N] int32, of objects that are followed through a video, from 1; 0: not followed yet. None where
            nothing is followed.
    """

    boxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray
    segmentations: Masks | None
    class_names: tuple[str, ...]
    image_size: tuple[int, int]
    keypoints: np.ndarray | None = None
    keypoint_names: tuple[str, ...] = ()
    track_ids: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.boxes)

    def __getitem__(self, index: int | slice | np.ndarray | list[int] | list[bool]) -> "Instances":
        if isinstance(index, (int, np.integer)):
            if not -len(self) <= index < len(self):
                raise IndexError(f"Index {index} is out of range: there are {len(self)} instances.")
            index = [int(index)]
        return Instances(
            self.boxes[index],
            self.scores[index],
            self.labels[index],
            None if self.segmentations is None else self.segmentations[index],
            self.class_names,
            self.image_size,
            None if self.keypoints is None else self.keypoints[index],
            self.keypoint_names,
            None if self.track_ids is None else self.track_ids[index],
        )

    def __iter__(self) -> Iterator["Instances"]:
        return (self[i] for i in range(len(self)))

    def __repr__(self) -> str:
        height, width = self.image_size
        found = ", ".join(f"{number} {name}" for name, number in Counter(self.names).most_common())
        return f"Instances({len(self)} in {width}x{height} px{': ' if found else ''}{found})"

    @property
    def names(self) -> list[str]:
        """The class name of each instance."""
        return [self.class_names[label] for label in self.labels]

    @property
    def has_masks(self) -> bool:
        """False for a model without a mask branch."""
        return self.segmentations is not None

    @property
    def mask_probabilities(self) -> np.ndarray | None:
        """[N, M, M] float32, the model's own masks of the inside of each box (M = 28 for most models).

        None for a model without masks, and for instances that were joined from tiles.
        """
        return self.segmentations.probabilities if isinstance(self.segmentations, GridMasks) else None

    def rle(self) -> list[RLE]:
        """Encode each mask in COCO's compressed run-length encoding.

        Made straight from box and mask probabilities: no image-sized array is allocated. The pixels are those of the
        framework's own pasting, by the rule and the threshold that the model file names.

        Returns:
            N dicts `{"size": [height, width], "counts": str}`, as pycocotools reads them.

        Raises:
            ArgumentError: the model has no masks.
        """
        return self._masks().rle()

    def masks(self) -> np.ndarray:
        """Paste each mask into an image-sized array, pixel by pixel the one that `rle` encodes.

        Returns:
            [N, H, W] bool. Mind the memory: 100 instances on a 4K image are 830 MB; see `rle` and `crops`.

        Raises:
            ArgumentError: the model has no masks.
        """
        masks = np.zeros((len(self), *self.image_size), dtype=bool)
        for mask, (left, top, inside) in zip(masks, self.crops(), strict=True):
            mask[top : top + inside.shape[0], left : left + inside.shape[1]] = inside
        return masks

    def crops(self) -> Iterator[tuple[int, int, np.ndarray]]:
        """Yield the masks of `masks`, one after the other, each cut out at its box.

        Yields:
            `(left, top, mask)`: the image pixel of the corner of the bool array [h, w]. It lies inside the
            image and may be empty.

        Raises:
            ArgumentError: the model has no masks.
        """
        return self._masks().crops()

    def polygons(self) -> list[list[np.ndarray]]:
        """Go around each mask along the edges of its pixels.

        Filled, the polygons are the mask of `masks`, pixel by pixel; a hole is joined to what is around it by a cut of
        no width. See `runtime.masks.polygons.outline`.

        Returns:
            For each instance a float32 array [P, 2] of x and y for each part of its mask, in pixels of the image; none
            where no pixel is set.

        Raises:
            ArgumentError: the model has no masks.
        """
        return polygons_of(self.crops())

    def to_supervision(self) -> Any:
        """Make a `supervision.Detections`, which that library draws, counts, tracks and joins.

        Its `data` has the names of the classes as `class_name`, as supervision's own makers of detections write them,
        and keypoints [N, K, 3] as `keypoints`.

        Returns:
            `supervision.Detections`; mind the memory of the masks, as for `masks`.

        Raises:
            DependencyError: supervision is not installed.
        """
        try:
            import supervision
        except ImportError as error:
            raise DependencyError(
                f"to_supervision needs supervision ({error}): `pip install maskrt[supervision]`"
            ) from error
        return supervision.Detections(
            xyxy=self.boxes.copy(),
            mask=self.masks() if self.has_masks else None,
            confidence=self.scores.copy(),
            class_id=self.labels.astype(int),
            tracker_id=None if self.track_ids is None else self.track_ids.astype(int),
            data={
                "class_name": np.array(self.names, dtype=str),
                **({} if self.keypoints is None else {"keypoints": self.keypoints.copy()}),
            },
        )

    def to_coco(self, image_id: int) -> list[dict[str, Any]]:
        """Make records in the COCO results format, ready for `json.dump` and pycocotools' `loadRes`.

        Args:
            image_id: of the image in the data set.

        Returns:
            N dicts: `image_id`, `category_id` (the label), `bbox` `[x, y, width, height]` in pixels, `score`,
            `segmentation` (compressed RLE) if the model has masks, `keypoints` (x, y and score of each, one behind the
            other) if it has keypoints, and `track_id` if objects are followed.
        """
        boxes = self.boxes.astype(np.float64)
        boxes[:, 2:] -= boxes[:, :2]
        records: list[dict[str, Any]] = [
            {"image_id": image_id, "category_id": label, "bbox": box, "score": score}
            for label, box, score in zip(self.labels.tolist(), boxes.tolist(), self.scores.tolist(), strict=True)
        ]
        if self.has_masks:
            for record, rle in zip(records, self.rle(), strict=True):
                record["segmentation"] = rle
        if self.keypoints is not None:
            for record, keypoints in zip(records, self.keypoints, strict=True):
                record["keypoints"] = keypoints.flatten().tolist()
        if self.track_ids is not None:
            for record, track_id in zip(records, self.track_ids.tolist(), strict=True):
                record["track_id"] = track_id
        return records

    def to_named_coco(self, image_id: int) -> list[dict[str, Any]]:
        """Make the records of `to_coco`, with the name of the class as `category` last."""
        return [{**record, "category": name} for record, name in zip(self.to_coco(image_id), self.names, strict=True)]

    def draw(self, image: Any, options: DrawOptions | None = None) -> np.ndarray:
        """Draw the instances over a copy of their image.

            cv2.imwrite("street_instances.jpg", instances.draw(image)[..., ::-1])

        Args:
            image: that was segmented: [H, W, 3] uint8 RGB, or a PIL image.
            options: how; None: the default ones. See `draw_instances`.

        Returns:
            [H, W, 3] uint8 RGB.

        Raises:
            ArgumentError: no image, or one of another size.
        """
        return draw_instances(image, self, options=options)

    def save(self, path: str | Path, image_id: int = 0) -> None:
        """Write the records of `to_coco`, each with the name of its class as `category`, to a JSON file.

        Args:
            path: of the file; at any moment it is the old one or the new one, whole.
            image_id: as for `to_coco`.

        Raises:
            ArgumentError: the name does not end in .json (what was found is data; a picture of it is made by `draw`),
                or the file cannot be written there.
            OSError: the file cannot be written.
        """
        path = Path(path)
        if path.suffix.lower() != ".json":
            raise ArgumentError(
                f"Cannot write {path}: instances are saved as JSON, to a name that ends in .json. `draw(image)` makes "
                "a picture of them."
            )
        check_writable(path)
        records = json.dumps(self.to_named_coco(image_id), ensure_ascii=False)
        write_in_one_step(path, records.encode(errors="backslashreplace"))

    def _masks(self) -> Masks:
        if self.segmentations is None:
            raise ArgumentError("These instances have no masks: the model is a detector without a mask branch.")
        return self.segmentations
