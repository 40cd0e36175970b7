"""What is found in an image."""
