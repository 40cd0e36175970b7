"""The output writers, in the order in which they get a picture: what cannot be drawn is not in the data."""

from collections.abc import Mapping

from maskrt.runtime.inference.writers import coco, jsonl, overlay, video
from maskrt.runtime.inference.writers.base import Opener

WRITERS: Mapping[str, Opener] = {
    "overlay": overlay.open_writer,
    "video": video.open_writer,
    "coco": coco.open_writer,
    "jsonl": jsonl.open_writer,
}
