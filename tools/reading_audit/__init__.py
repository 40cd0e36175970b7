"""Do pictures and videos look to maskrt as they do to others? Hundreds of variants, each read by it and by a reference.

`python -m maskrt.tools.reading_audit` prints a table. `variants` says what a variant is, `writers` has a file for each
program that writes some, `references` are the other readers, `audit` compares, and `__main__` is the command.
"""
