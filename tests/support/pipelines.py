"""What model files of detectron2's and mmdetection's models say in `pipeline`."""

from maskrt.contract.pipeline import Boxes, Paste, Pipeline, Resize


def pipeline_of(framework: str, *, min_size: int = 800, max_size: int = 1333, size_divisor: int = 32) -> Pipeline:
    """Of "detectron2" or "mmdet"."""
    if framework == "detectron2":
        resize = Resize("shortest_edge", "pillow_bilinear", min_size, max_size)
    else:
        resize = Resize("fit", "opencv_bilinear", min_size, max_size)
    boxes = Boxes(clip=framework == "detectron2", drop_empty=framework == "detectron2")
    return Pipeline(resize, size_divisor, boxes, Paste("pixel_centers", 0.5))
