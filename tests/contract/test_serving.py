import numpy as np
import pytest

from maskrt.contract.serving import binary_size, from_binary, outputs_of, pack_bytes, to_binary, unpack_bytes

from ..support.model_metadata import make_metadata


def test_bytes_behind_their_lengths() -> None:
    elements = [b"", b"a", b"\x00" * 300]
    assert pack_bytes([b"ab"]) == b"\x02\x00\x00\x00ab"
    assert unpack_bytes(pack_bytes(elements)) == elements
    for damaged in (b"\x01", b"\x05\x00\x00\x00abc", pack_bytes(elements)[:-1]):
        with pytest.raises(ValueError, match="bytes"):
            unpack_bytes(damaged)


@pytest.mark.parametrize("datatype", ["UINT8", "INT32", "FP32", "FP64"])
def test_numbers_there_and_back(rng: np.random.Generator, datatype: str) -> None:
    values = rng.integers(0, 255, (2, 3, 1)).astype(np.float64)
    data = to_binary(values.transpose(1, 0, 2), datatype)
    np.testing.assert_array_equal(from_binary(data, datatype, [3, 2, 1]), values.transpose(1, 0, 2))
    with pytest.raises(ValueError, match=r"its shape \[3, 3, 1\] takes \d+ bytes, but \d+ are there"):
        from_binary(data, datatype, [3, 3, 1])


def test_elements_that_the_shape_does_not_have() -> None:
    assert from_binary(pack_bytes([b"a", b"b"]), "BYTES", [1, 2]) == [b"a", b"b"]
    with pytest.raises(ValueError, match=r"its shape \[3, 1\] has 3 elements, but 2 are there"):
        from_binary(pack_bytes([b"a", b"b"]), "BYTES", [3, 1])


def test_sizes() -> None:
    assert binary_size({}) is None
    assert binary_size({"parameters": {"binary_data_size": 7}}) == 7
    for size in (-1, 1.5, "7", True):
        with pytest.raises(ValueError, match="should be a number of bytes"):
            binary_size({"parameters": {"binary_data_size": size}})


def test_outputs_are_those_of_the_model() -> None:
    names = [spec.name for spec in outputs_of(make_metadata())]
    assert names == ["num_detections", "image_sizes", "boxes", "scores", "labels", "masks"]
