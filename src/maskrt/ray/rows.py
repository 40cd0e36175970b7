"""What is known of a picture, as a row: of a JSON Lines file, of a Parquet file, of a block of `ray.data`.

    file_name     text             as it was given
    width, height integers         pixels; null where it failed
    error         text             why it failed; null where it did not
    instances     list of objects  records in the COCO results format, with the name of the class as `category`

The records have no `image_id`: the file's name is what tells pictures apart.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from maskrt.errors import DependencyError
from maskrt.runtime.structures.instances import Instances

if TYPE_CHECKING:
    import pyarrow

Row = dict[str, Any]


def name_of(path: str) -> str:
    """Return a path as text that can be written; bytes that are none are shown as escapes."""
    return os.fsencode(path).decode(errors="backslashreplace")


def found_row(path: str, instances: Instances) -> Row:
    """Return the row of a picture with its instances."""
    height, width = instances.image_size
    records = [
        {"category": name, **{key: value for key, value in record.items() if key != "image_id"}}
        for name, record in zip(instances.names, instances.to_coco(0), strict=True)
    ]
    return {"file_name": name_of(path), "width": width, "height": height, "error": None, "instances": records}


def failed_row(path: str, error: str) -> Row:
    """Return the row of a picture that failed."""
    return {"file_name": name_of(path), "width": None, "height": None, "error": error, "instances": []}


def to_lines(rows: Sequence[Row]) -> bytes:
    """Return the rows as JSON Lines."""
    return "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows).encode(errors="backslashreplace")


def to_table(rows: Sequence[Row]) -> pyarrow.Table:
    """Return the rows as a table of Arrow.

    Raises:
        DependencyError: pyarrow is not installed.
    """
    pa = import_arrow()
    segmentation = pa.struct([("size", pa.list_(pa.int32())), ("counts", pa.string())])
    record = pa.struct(
        [
            ("category", pa.string()),
            ("category_id", pa.int32()),
            ("bbox", pa.list_(pa.float64())),
            ("score", pa.float64()),
            ("segmentation", segmentation),
            ("keypoints", pa.list_(pa.float64())),
        ]
    )
    columns: Mapping[str, Any] = {
        "file_name": pa.string(),
        "width": pa.int32(),
        "height": pa.int32(),
        "error": pa.string(),
        "instances": pa.list_(record),
    }
    return pa.Table.from_pylist(list(rows), schema=pa.schema(columns.items()))


def import_arrow() -> Any:
    """Return the module pyarrow.

    Raises:
        DependencyError: it is not installed.
    """
    try:
        import pyarrow
    except ImportError:
        raise DependencyError("Parquet files need pyarrow: `pip install maskrt[ray]`.") from None
    return pyarrow
