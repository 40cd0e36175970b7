"""mmdetection: checkpoints without the framework; see `family`."""
