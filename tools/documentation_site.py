"""What mkdocs makes a site of, see mkdocs.yml: the pages in their order, and those that lie above docs/."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]

ABOVE = {"README.md": "index.md", "CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
"""Documents above docs/, and what they are called in the site."""

ORDER: dict[str, tuple[str, ...]] = {
    "Start": ("index.md", "install.md"),
    "From a checkpoint to the device": (
        "checkpoints.md",
        "model-file.md",
        "quantization.md",
        "engines.md",
        "deploy.md",
        "serving.md",
        "triton.md",
        "ray.md",
    ),
    "Pictures and results": ("runtime.md", "evaluation.md", "coco.md", "polygraphy.md", "mask-rcnn.md"),
    "When something is wrong": ("troubleshooting.md", "robustness.md"),
    "Behind it": ("architecture.md", "extending.md", "contributing.md", "changelog.md"),
}
"""The pages by their part of the site. One that is not there is left out; one that is not here comes last."""

_LINK = re.compile(r"\]\((?!\w+:)([^)#\s]+)")


def navigation(there: set[str]) -> list[dict[str, list[str]]]:
    """Return the site's table of contents: the pages that are there."""
    parts = {title: [page for page in pages if page in there] for title, pages in ORDER.items()}
    known = {page for pages in ORDER.values() for page in pages}
    parts["More"] = sorted(there - known)
    return [{title: pages} for title, pages in parts.items() if pages]


def with_links_of_the_site(text: str, *, above: bool) -> str:
    """Return a document with links as they are in the site; `above`: it lies above docs/."""

    def follow(link: re.Match[str]) -> str:
        name = link[1]
        name = name.removeprefix("docs/") if above else name.removeprefix("../")
        name = ABOVE.get(name, name)
        return f"]({name.replace('example-report/index.md', 'example-report/index.html')}"

    return _LINK.sub(follow, text)


def on_config(config: Any) -> Any:
    """Set the table of contents, and anchors as GitHub makes them."""
    from pymdownx.slugs import slugify

    there = {path.name for path in Path(config.docs_dir).glob("*.md")}
    config.nav = navigation(there | set(ABOVE.values()))
    config.mdx_configs["toc"] = {"permalink": True, "slugify": slugify(case="lower")}
    return config


def on_files(files: Any, config: Any) -> Any:
    """Add the documents that lie above docs/."""
    from mkdocs.structure.files import File

    for name, page in ABOVE.items():
        text = with_links_of_the_site((ROOT / name).read_text(encoding="utf-8"), above=True)
        files.append(File.generated(config, page, content=text))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Lead links of the pages in docs/ to what the site has."""
    return markdown if page.file.src_path in ABOVE.values() else with_links_of_the_site(markdown, above=False)
