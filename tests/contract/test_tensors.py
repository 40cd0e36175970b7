import numpy as np

from maskrt.contract.tensors import round_down_to_float32


def test_compares_like_the_float64_threshold(rng: np.random.Generator) -> None:
    for value in [0.0, 0.1, 0.3, 0.5, 0.7, 1.0, *rng.random(50)]:
        nearest = np.float32(value)
        for iou in (np.nextafter(nearest, np.float32(0)), nearest, np.nextafter(nearest, np.float32(2))):
            assert (iou > round_down_to_float32(value)) == (float(iou) > value), value
