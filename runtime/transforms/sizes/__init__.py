"""From the size of an image to the one that the network sees: one rule a file."""
