"""The text form of protocol buffers."""

from maskrt.engines.package.triton.pbtxt import Name, to_text


def test_every_kind_of_value() -> None:
    message = {
        "name": 'größe "1"\n\\',
        "kind": Name("KIND_CPU"),
        "count": 2,
        "optional": True,
        "dims": (-1, 3),
        "none": [],
        "reshape": {"shape": []},
        "input": [{"a": 1}, {"b": {"c": False}}],
    }
    assert to_text(message) == (
        'name: "größe \\"1\\"\\n\\\\"\n'
        "kind: KIND_CPU\n"
        "count: 2\n"
        "optional: true\n"
        "dims: [-1, 3]\n"
        "none: []\n"
        "reshape {\n  shape: []\n}\n"
        "input {\n  a: 1\n}\n"
        "input {\n  b {\n    c: false\n  }\n}\n"
    )
