from functools import cache
from typing import Any

import pytest

from ...support.reference_models import Load, load_reference


@pytest.fixture(scope="session")
def load(tmp_path_factory: pytest.TempPathFactory) -> Load:
    """`load(name)` -> the `SourceModel` of a reference model of detectron2 or mmdetection."""
    folder = tmp_path_factory.mktemp("checkpoints")

    @cache
    def of_name(name: str) -> Any:
        return load_reference(name, folder)

    return of_name
