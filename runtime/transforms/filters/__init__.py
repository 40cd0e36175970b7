"""How pixels are resized: one filter a file."""
