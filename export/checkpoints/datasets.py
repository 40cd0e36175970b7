"""Names of the classes of the data sets that detectron2 knows, which a config names and a checkpoint has not."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

_COCO = (
    "person,bicycle,car,motorcycle,airplane,bus,train,truck,boat,traffic light,fire hydrant,stop sign,parking meter,"
    "bench,bird,cat,dog,horse,sheep,cow,elephant,bear,zebra,giraffe,backpack,umbrella,handbag,tie,suitcase,frisbee,"
    "skis,snowboard,sports ball,kite,baseball bat,baseball glove,skateboard,surfboard,tennis racket,bottle,wine glass,"
    "cup,fork,knife,spoon,bowl,banana,apple,sandwich,orange,broccoli,carrot,hot dog,pizza,donut,cake,chair,couch,"
    "potted plant,bed,dining table,toilet,tv,laptop,mouse,remote,keyboard,cell phone,microwave,oven,toaster,sink,"
    "refrigerator,book,clock,vase,scissors,teddy bear,hair drier,toothbrush"
)
_CITYSCAPES = "person,rider,car,truck,bus,train,motorcycle,bicycle"
_VOC = (
    "aeroplane,bicycle,bird,boat,bottle,bus,car,cat,chair,cow,diningtable,dog,horse,motorbike,person,pottedplant,sheep,"
    "sofa,train,tvmonitor"
)

_DATASETS: tuple[tuple[str, str], ...] = (
    (r"coco_201[47]_(?:train|val|test|test-dev|minival|valminusminival|val_100)", _COCO),
    (r"lvis_v0\.5_\w+_cocofied", _COCO),
    (r"keypoints_coco_201[47]_\w+", "person"),
    (r"cityscapes_fine_instance_seg_(?:train|val|test)", _CITYSCAPES),
    (r"voc_20(?:07|12)_(?:train|val|trainval|test)", _VOC),
)
_LVIS = re.compile(r"lvis_(v0\.5|v1)_(?:train|val|val_rand_100|test|test_dev|test_challenge)")


def class_names_of(datasets: Sequence[str]) -> list[str] | None:
    """Return the names of the classes of a config's `DATASETS.TRAIN`, in the order of a model's outputs, from 0.

    Args:
        datasets: names in detectron2's registry; all of a config have the same classes.

    Returns:
        Names as in the annotations: detectron2 itself calls category 162 of LVIS v1 horned_cow, by a synonym.
        None if the first is none of those that detectron2 brings with it.
    """
    if not datasets:
        return None
    lvis = _LVIS.fullmatch(datasets[0])
    if lvis is not None:
        text = Path(__file__).with_name("data").joinpath(f"lvis_{lvis[1]}.txt").read_text(encoding="utf-8")
        return text.splitlines()
    return next((names.split(",") for pattern, names in _DATASETS if re.fullmatch(pattern, datasets[0])), None)
