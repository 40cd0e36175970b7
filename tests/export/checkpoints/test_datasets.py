import pytest

from maskrt.export.checkpoints.configs.detectron2 import zoo_config
from maskrt.export.checkpoints.datasets import class_names_of
from maskrt.export.checkpoints.zoo.detectron2 import MODELS


@pytest.mark.parametrize(
    ("dataset", "count", "first", "last"),
    [
        ("coco_2017_train", 80, "person", "toothbrush"),
        ("coco_2014_valminusminival", 80, "person", "toothbrush"),
        ("keypoints_coco_2017_train", 1, "person", "person"),
        ("lvis_v1_train", 1203, "aerosol_can", "zucchini"),
        ("lvis_v0.5_train", 1230, "acorn", "zucchini"),
        ("lvis_v0.5_train_cocofied", 80, "person", "toothbrush"),
        ("cityscapes_fine_instance_seg_train", 8, "person", "bicycle"),
        ("voc_2007_trainval", 20, "aeroplane", "tvmonitor"),
    ],
)
def test_data_sets_of_detectron2(dataset, count, first, last):
    names = class_names_of([dataset])
    assert names is not None
    assert (len(names), names[0], names[-1]) == (count, first, last)
    assert len(set(names)) == count


def test_the_names_of_lvis_are_those_of_its_annotations():
    names = class_names_of(["lvis_v1_val"])
    assert names is not None
    assert names[162 - 1] == "bull"  # its name there; detectron2 takes the first synonym, "horned_cow"


@pytest.mark.parametrize("datasets", [[], ["my_data"], ["coco_2017_train_panoptic"], ["lvis_v2_train"], [""]])
def test_other_data_sets(datasets):
    assert class_names_of(datasets) is None


def test_every_model_of_the_zoo_has_names():
    for name in MODELS:
        values = zoo_config(name).values
        names = class_names_of(values["DATASETS"]["TRAIN"])
        assert names is not None
        assert len(names) == values["MODEL"]["ROI_HEADS"]["NUM_CLASSES"], name


def test_coco_is_torchvisions_without_gaps():
    detection = pytest.importorskip("torchvision.models.detection")
    theirs = detection.MaskRCNN_ResNet50_FPN_Weights.COCO_V1.meta["categories"]
    assert class_names_of(["coco_2017_val"]) == [name for name in theirs if name not in ("__background__", "N/A")]
