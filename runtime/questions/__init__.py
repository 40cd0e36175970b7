"""Pictures that others send, whichever way: what is taken of them, their runs together, and the tensors of answers."""
