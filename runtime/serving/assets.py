"""The files of the page, by their addresses; nothing else of the disk is served."""

import importlib.resources
from typing import NamedTuple

_MODULES = (
    "page",
    "camera",
    "colors",
    "dom",
    "downloads",
    "masks",
    "paint",
    "panels",
    "pictures",
    "pointer",
    "server",
    "state",
)


class Asset(NamedTuple):
    """A file of the folder `page`, and its media type."""

    name: str
    media_type: str

    def read(self) -> bytes:
        """Return its content."""
        return (importlib.resources.files("maskrt.runtime.serving") / "page" / self.name).read_bytes()


PAGE = {
    "/": Asset("index.html", "text/html"),
    "/page/page.css": Asset("page.css", "text/css"),
    **{f"/page/{name}.js": Asset(f"{name}.js", "text/javascript") for name in _MODULES},
}
