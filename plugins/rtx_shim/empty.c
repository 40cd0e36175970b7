/* An empty library: all that counts is its name and the library that it needs. */
