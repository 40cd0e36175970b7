"""Tensors in one block of memory."""

import numpy as np

from maskrt.runtime.backends.tensorrt.blocks import Block, Spec, aligned


def test_tensors_start_at_multiples_of_256_and_do_not_overlap() -> None:
    tensors = {
        "count": Spec(np.dtype(np.int32), (2,)),
        "boxes": Spec(np.dtype(np.float32), (2, 100, 4)),
        "nothing": Spec(np.dtype(np.float32), (0, 4)),
        "pixels": Spec(np.dtype(np.uint8), (1, 7, 5, 3)),
    }
    block = Block(tensors)
    assert block.offsets == {"count": 0, "boxes": 256, "nothing": 3584, "pixels": 3584}
    assert block.size == 3840
    views = block.views(np.zeros(block.size, np.uint8))
    for value, (name, view) in enumerate(views.items(), 1):
        assert (view.dtype, view.shape) == tensors[name]
        view[...] = value
    for value, view in enumerate(views.values(), 1):
        assert (view == value).all()


def test_aligned() -> None:
    assert [aligned(size) for size in (0, 1, 256, 257)] == [0, 256, 256, 512]
