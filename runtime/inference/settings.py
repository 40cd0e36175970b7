"""What the user of `maskrt infer` chose, as values."""

from dataclasses import dataclass, field
from pathlib import Path

from maskrt.options import Thresholds
from maskrt.runtime.draw import DrawOptions

DRAWN_FROM = 0.5
"""Score from which instances are drawn: a model's own threshold, mostly 0.05, is for AP, and covers a picture."""


TABLE, CLASS_MASKS, INSTANCE_MASKS, CROPS = "csv", "class-masks", "instance-masks", "crops"

FORMATS = (TABLE, CLASS_MASKS, INSTANCE_MASKS, CROPS)
"""What can be written besides JSON and overlays."""

PICTURE_FORMATS = (CLASS_MASKS, INSTANCE_MASKS, CROPS)
"""Those that are files of their own for each image, in a folder of their name; of image files alone."""

MASK_FORMATS = (CLASS_MASKS, INSTANCE_MASKS)
"""Those that a model without masks cannot give."""


@dataclass(frozen=True)
class Settings:
    """How a run is done, whatever its source.

    Attributes:
        output: folder of the results, which exists.
        thresholds: of the model.
        batch_size: pictures per run of the model; with tiles: tiles per run.
        tile: (height, width) of the tiles that pictures are cut into; None: they are taken whole.
        formats: of `FORMATS`, what is written besides.
        polygons: whether the data set has masks as polygons, in place of run lengths.
        track: whether objects are followed through videos.
        overlays: whether pictures and videos are drawn.
        drawing: how they are; what is drawn is no more than what is found.
        resume: go on where an earlier run over image files stopped.
        timings: whether the summary shows where the time went.
        threads: of the CPU, for what decodes and encodes video; None: one per core.
        warm_up: (height, width) of pictures to be ready for before the first.
    """

    output: Path
    thresholds: Thresholds = field(default_factory=Thresholds)
    batch_size: int = 1
    tile: tuple[int, int] | None = None
    formats: tuple[str, ...] = ()
    polygons: bool = False
    track: bool = False
    overlays: bool = True
    drawing: DrawOptions = field(default_factory=lambda: DrawOptions(score_threshold=DRAWN_FROM))
    resume: bool = False
    timings: bool = False
    threads: int | None = None
    warm_up: tuple[tuple[int, int], ...] = ()

    @property
    def picture_formats(self) -> tuple[str, ...]:
        """Those of `formats` that are files of their own for each image."""
        return tuple(name for name in self.formats if name in PICTURE_FORMATS)
