"""What `make gpu-check` found, as a section of the report for each GPU."""
