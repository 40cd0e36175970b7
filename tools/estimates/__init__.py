"""How long an engine takes, estimated without a GPU: `python -m maskrt.tools.estimates model.onnx`.

The modules: `shapes` knows the size of every tensor of an exported graph, `stages` groups its nodes into what runs as
one kernel, `launches` says what that reads, writes and computes, `custom` the same of the project's own operators,
`gpus` turns it into time, and `table` writes what docs/engines.md shows.
"""
