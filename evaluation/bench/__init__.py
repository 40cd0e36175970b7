"""`maskrt bench`: latency, throughput and memory of model files, beside PyTorch's."""
