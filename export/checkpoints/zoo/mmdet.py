"""mmdetection's model zoo: files of weights, which have their configs in them.

From `configs/{mask_rcnn,faster_rcnn,cascade_rcnn,gn}/metafile.yml`. The file's name ends in the first eight digits of
its SHA-256 sum (`tools/model_converters/publish_model.py`). mmdetection 3 has the same files under new names.
"""

from __future__ import annotations

from collections.abc import Mapping

URL = "https://download.openmmlab.com/mmdetection/v2.0"

_FILES = """
mask_rcnn/mask_rcnn_r50_caffe_fpn_1x_coco bbox_mAP-0.38__segm_mAP-0.344_20200504_231812-0ebd1859
mask_rcnn/mask_rcnn_r50_fpn_1x_coco 20200205-d4b0c5d6
mask_rcnn/mask_rcnn_r50_fpn_2x_coco bbox_mAP-0.392__segm_mAP-0.354_20200505_003907-3e542a40
mask_rcnn/mask_rcnn_r101_caffe_fpn_1x_coco 20200601_095758-805e06c1
mask_rcnn/mask_rcnn_r101_fpn_1x_coco 20200204-1efe0ed5
mask_rcnn/mask_rcnn_r101_fpn_2x_coco bbox_mAP-0.408__segm_mAP-0.366_20200505_071027-14b391c7
mask_rcnn/mask_rcnn_x101_32x4d_fpn_1x_coco 20200205-478d0b67
mask_rcnn/mask_rcnn_x101_32x4d_fpn_2x_coco bbox_mAP-0.422__segm_mAP-0.378_20200506_004702-faef898c
mask_rcnn/mask_rcnn_x101_64x4d_fpn_1x_coco 20200201-9352eb0d
mask_rcnn/mask_rcnn_x101_64x4d_fpn_2x_coco 20200509_224208-39d6f70c
mask_rcnn/mask_rcnn_r50_caffe_fpn_mstrain-poly_2x_coco bbox_mAP-0.403__segm_mAP-0.365_20200504_231822-a75c98ce
mask_rcnn/mask_rcnn_r50_caffe_fpn_mstrain-poly_3x_coco bbox_mAP-0.408__segm_mAP-0.37_20200504_163245-42aa3d00
mask_rcnn/mask_rcnn_r50_fpn_mstrain-poly_3x_coco 20210524_201154-21b550bb
mask_rcnn/mask_rcnn_r101_fpn_mstrain-poly_3x_coco 20210524_200244-5675c317
mask_rcnn/mask_rcnn_r101_caffe_fpn_mstrain-poly_3x_coco 20210526_132339-3c33ce02
mask_rcnn/mask_rcnn_x101_32x4d_fpn_mstrain-poly_3x_coco 20210524_201410-abcd7859
mask_rcnn/mask_rcnn_x101_64x4d_fpn_mstrain-poly_3x_coco 20210526_120447-c376f129
gn/mask_rcnn_r50_fpn_gn-all_2x_coco 20200206-8eee02a6
gn/mask_rcnn_r50_fpn_gn-all_3x_coco 20200214-8b23b1e5
gn/mask_rcnn_r101_fpn_gn-all_2x_coco 20200205-d96b1b50
gn/mask_rcnn_r101_fpn_gn-all_3x_coco 20200513_181609-0df864f4
gn/mask_rcnn_r50_fpn_gn-all_contrib_2x_coco 20200207-20d3e849
gn/mask_rcnn_r50_fpn_gn-all_contrib_3x_coco 20200225-542aefbc
faster_rcnn/faster_rcnn_r50_caffe_dc5_1x_coco 20201030_151909-531f0f43
faster_rcnn/faster_rcnn_r50_caffe_fpn_1x_coco bbox_mAP-0.378_20200504_180032-c5925ee5
faster_rcnn/faster_rcnn_r50_fpn_1x_coco 20200130-047c8118
faster_rcnn/faster_rcnn_r50_fpn_2x_coco bbox_mAP-0.384_20200504_210434-a5d8aa15
faster_rcnn/faster_rcnn_r101_caffe_fpn_1x_coco bbox_mAP-0.398_20200504_180057-b269e9dd
faster_rcnn/faster_rcnn_r101_fpn_1x_coco 20200130-f513f705
faster_rcnn/faster_rcnn_r101_fpn_2x_coco bbox_mAP-0.398_20200504_210455-1d2dac9c
faster_rcnn/faster_rcnn_x101_32x4d_fpn_1x_coco 20200203-cff10310
faster_rcnn/faster_rcnn_x101_32x4d_fpn_2x_coco bbox_mAP-0.412_20200506_041400-64a12c0b
faster_rcnn/faster_rcnn_x101_64x4d_fpn_1x_coco 20200204-833ee192
faster_rcnn/faster_rcnn_x101_64x4d_fpn_2x_coco 20200512_161033-5961fa95
faster_rcnn/faster_rcnn_r50_caffe_dc5_mstrain_1x_coco 20201028_233851-b33d21b9
faster_rcnn/faster_rcnn_r50_caffe_dc5_mstrain_3x_coco 20201028_002107-34a53b2c
faster_rcnn/faster_rcnn_r50_caffe_fpn_mstrain_2x_coco bbox_mAP-0.397_20200504_231813-10b2de58
faster_rcnn/faster_rcnn_r50_caffe_fpn_mstrain_3x_coco 20210526_095054-1f77628b
faster_rcnn/faster_rcnn_r50_fpn_mstrain_3x_coco 20210524_110822-e10bd31c
faster_rcnn/faster_rcnn_r101_caffe_fpn_mstrain_3x_coco 20210526_095742-a7ae426d
faster_rcnn/faster_rcnn_r101_fpn_mstrain_3x_coco 20210524_110822-4d4d2ca8
faster_rcnn/faster_rcnn_x101_32x4d_fpn_mstrain_3x_coco 20210524_124151-16b9b260
faster_rcnn/faster_rcnn_x101_32x8d_fpn_mstrain_3x_coco 20210604_182954-002e082a
faster_rcnn/faster_rcnn_x101_64x4d_fpn_mstrain_3x_coco 20210524_124528-26c63de6
cascade_rcnn/cascade_rcnn_r50_caffe_fpn_1x_coco bbox_mAP-0.404_20200504_174853-b857be87
cascade_rcnn/cascade_rcnn_r50_fpn_1x_coco 20200316-3dc56deb
cascade_rcnn/cascade_rcnn_r50_fpn_20e_coco bbox_mAP-0.41_20200504_175131-e9872a90
cascade_rcnn/cascade_rcnn_r101_caffe_fpn_1x_coco bbox_mAP-0.423_20200504_175649-cab8dbd5
cascade_rcnn/cascade_rcnn_r101_fpn_1x_coco 20200317-0b6a2fbf
cascade_rcnn/cascade_rcnn_r101_fpn_20e_coco bbox_mAP-0.425_20200504_231812-5057dcc5
cascade_rcnn/cascade_rcnn_x101_32x4d_fpn_1x_coco 20200316-95c2deb6
cascade_rcnn/cascade_rcnn_x101_32x4d_fpn_20e_coco 20200906_134608-9ae0a720
cascade_rcnn/cascade_rcnn_x101_64x4d_fpn_1x_coco 20200515_075702-43ce6a30
cascade_rcnn/cascade_rcnn_x101_64x4d_fpn_20e_coco 20200509_224357-051557b1
cascade_rcnn/cascade_mask_rcnn_r50_caffe_fpn_1x_coco bbox_mAP-0.412__segm_mAP-0.36_20200504_174659-5004b251
cascade_rcnn/cascade_mask_rcnn_r50_fpn_1x_coco 20200203-9d4dcb24
cascade_rcnn/cascade_mask_rcnn_r50_fpn_20e_coco bbox_mAP-0.419__segm_mAP-0.365_20200504_174711-4af8e66e
cascade_rcnn/cascade_mask_rcnn_r101_caffe_fpn_1x_coco bbox_mAP-0.432__segm_mAP-0.376_20200504_174813-5c1e9599
cascade_rcnn/cascade_mask_rcnn_r101_fpn_1x_coco 20200203-befdf6ee
cascade_rcnn/cascade_mask_rcnn_r101_fpn_20e_coco bbox_mAP-0.434__segm_mAP-0.378_20200504_174836-005947da
cascade_rcnn/cascade_mask_rcnn_x101_32x4d_fpn_1x_coco 20200201-0f411b1f
cascade_rcnn/cascade_mask_rcnn_x101_32x4d_fpn_20e_coco 20200528_083917-ed1f4751
cascade_rcnn/cascade_mask_rcnn_x101_64x4d_fpn_1x_coco 20200203-9a2db89d
cascade_rcnn/cascade_mask_rcnn_x101_64x4d_fpn_20e_coco 20200512_161033-bdb5126a
cascade_rcnn/cascade_mask_rcnn_r50_caffe_fpn_mstrain_3x_coco 20210707_002651-6e29b3a6
cascade_rcnn/cascade_mask_rcnn_r50_fpn_mstrain_3x_coco 20210628_164719-5bdc3824
cascade_rcnn/cascade_mask_rcnn_r101_caffe_fpn_mstrain_3x_coco 20210707_002620-a5bd2389
cascade_rcnn/cascade_mask_rcnn_r101_fpn_mstrain_3x_coco 20210628_165236-51a2d363
cascade_rcnn/cascade_mask_rcnn_x101_32x4d_fpn_mstrain_3x_coco 20210706_225234-40773067
cascade_rcnn/cascade_mask_rcnn_x101_32x8d_fpn_mstrain_3x_coco 20210719_180640-9ff7e76f
cascade_rcnn/cascade_mask_rcnn_x101_64x4d_fpn_mstrain_3x_coco 20210719_210311-d3e64ba0
"""

_FOLDER = "faster_rcnn/faster_rcnn_r50_fpn_1x_coco"
_OTHER_LOSSES = {
    "faster_rcnn_r50_fpn_iou_1x_coco": f"{_FOLDER}/faster_rcnn_r50_fpn_iou_1x_coco-fdd207f3.pth",
    "faster_rcnn_r50_fpn_giou_1x_coco": f"{_FOLDER}/faster_rcnn_r50_fpn_giou_1x_coco-0eada910.pth",
    "faster_rcnn_r50_fpn_bounded_iou_1x_coco": f"{_FOLDER}/faster_rcnn_r50_fpn_bounded_iou_1x_coco-98ad993b.pth",
}


def _read() -> dict[str, str]:
    files = {}
    for line in _FILES.split("\n"):
        if line:
            folder, ending = line.split()
            name = folder.rpartition("/")[2]
            files[name] = f"{folder}/{name}_{ending}.pth"
    return {**files, **_OTHER_LOSSES}


MODELS: Mapping[str, str] = _read()
"""Its Faster, Mask and Cascade R-CNN: name of the config in mmdetection 2 → file below the URL."""


def normalized(name: str) -> str:
    """Return a name that is the same for both of mmdetection's spellings.

    For example `mask_rcnn_r50_fpn_mstrain-poly_3x_coco` and `mask-rcnn_r50_fpn_ms-poly-3x_coco`.
    """
    return name.removesuffix(".py").replace("-", "_").replace("mstrain", "ms")


NAMES: Mapping[str, str] = {normalized(name): name for name in MODELS}
"""Normalized name → key of `MODELS`."""
