"""What results are written as: one file for each kind, behind a registry."""
