"""The custom operators, one a file: its eager form, the ONNX node that it becomes, and the ONNX function behind that.

In eager mode an operator is made of torchvision's; exported, it is one node. ONNX Runtime inlines the model-local
function of the node's name, so that a file runs there without anything of ours; TensorRT's parser takes the plugin of
that name instead. Data-dependent shapes are therefore welcome in the functions: they never reach TensorRT.

Constants of the functions follow the type of the data (`CastLike`) or lie between explicit casts, because converters to
half precision rewrite the graph but not the bodies of its functions.

PyTorch is imported by the operators when they run, so that the functions can be had without it.
"""

OPSET = 20
"""Version of the standard operators in the exported file."""

PLUGIN_ATTRIBUTES = {"plugin_version": "1", "plugin_namespace": ""}
"""Of every node: without these TensorRT's parser would expand the function instead of taking the plugin."""
