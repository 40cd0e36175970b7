import numpy as np
import pytest
from pycocotools import mask as coco_mask

from maskrt.export.families.base import describe_model
from maskrt.shapes.scenes import generate_scene
from maskrt.shapes.score import score


def _perfect(image: np.ndarray, image_id: int) -> list[dict]:
    scene = generate_scene(image_id - 1, "test")
    np.testing.assert_array_equal(image, scene.image)
    records = []
    for mask, label in zip(scene.masks, scene.labels, strict=True):
        rle = coco_mask.encode(np.asfortranarray(mask, np.uint8))
        box = [float(v) for v in coco_mask.toBbox(rle)]
        records.append(
            {"image_id": image_id, "category_id": int(label), "bbox": box, "score": 1.0, "segmentation": rle}
        )
    return records


def _nothing_right(image: np.ndarray, image_id: int) -> list[dict]:
    return [{**record, "category_id": record["category_id"] % 8 + 1} for record in _perfect(image, image_id)]


def test_perfect_results_score_one_and_wrong_labels_nearly_nothing():
    assert score(_perfect, 5)["segm"].AP == 1.0
    assert score(_perfect, 5)["bbox"].AP == 1.0
    assert score(_nothing_right, 5)["segm"].AP < 0.05
    assert score(lambda image, image_id: [], 5)["segm"].AP == 0.0


@pytest.mark.slow
def test_the_demo_model_is_good_enough_to_show_small_losses(shapes_model):
    """On 30 scenes; the figure for all 200 is in docs/quantization.md."""
    reference = describe_model(shapes_model).reference()
    values = score(lambda image, image_id: reference.records(image, image_id=image_id), 30)
    assert values["segm"].AP >= 0.60
    assert values["bbox"].AP >= 0.60
