"""A server for one machine: pictures over HTTP in, instances out, and a page to try it."""
