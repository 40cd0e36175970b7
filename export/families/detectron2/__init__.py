"""detectron2: checkpoints and configs without the framework; see `family`."""
