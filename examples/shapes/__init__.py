"""The demo model: labelled scenes of overlapping shapes, and a small Mask R-CNN trained on them."""
