import pytest

from ...support.reference_models import Load


@pytest.fixture(scope="session")
def load(reference_source: Load) -> Load:
    """`load(name)` -> the `SourceModel` of a reference model of detectron2 or mmdetection."""
    return reference_source
