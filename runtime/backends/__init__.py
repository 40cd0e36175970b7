"""What runs a model: one module or folder for each inference engine, behind a registry."""
