"""Steps that work at the same time on successive images."""
