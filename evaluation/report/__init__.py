"""`maskrt report`: all results on one page."""
