"""From a source model to the archive for its device, in one command that goes on where it stopped."""
