"""What works on this machine, what is missing, and what brings it. Nothing that is broken here breaks the answer."""
