"""Images larger than the model takes, tile by tile."""
