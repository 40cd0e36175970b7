"""The folder of the results: that it can be written, and that nothing of the user's is in the way."""

from pathlib import Path

from maskrt.errors import ArgumentError
from maskrt.files import write_in_one_step
from maskrt.runtime.inference.sources import Inputs
from maskrt.runtime.inference.writers.overlay import FOLDER


def make_writable(folder: Path) -> None:
    """Make a folder, and try to write there.

    Raises:
        ArgumentError: nothing can be written there.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_in_one_step(folder / ".maskrt", b"")
        (folder / ".maskrt").unlink()
    except OSError as error:
        raise ArgumentError(
            f"The output folder {folder} cannot be written: {error.strerror or error}. Choose another with --output."
        ) from None


def check_apart(inputs: Inputs, output: Path) -> None:
    """Check that no input lies where the pictures go, which could take its place.

    Raises:
        ArgumentError: one does.
    """
    overlays = (output / FOLDER).resolve()
    folders = {image.parent: image for image in inputs.images}  # few, where the images are many
    replaced = [image for folder, image in folders.items() if folder.resolve() == overlays]
    mp4s = [video for video in map(Path, inputs.videos) if video.suffix.lower() == ".mp4"]
    replaced += [video for video in mp4s if video.resolve().parent == output.resolve()]
    if replaced:
        raise ArgumentError(f"{replaced[0]} lies where the results go, and would be replaced. Choose another --output.")
