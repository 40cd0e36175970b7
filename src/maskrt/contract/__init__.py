"""What a model file, an engine and its manifest say, told once for everyone who writes or reads them.

NumPy and the standard library only: the export side, the builders and the device share it.
"""
