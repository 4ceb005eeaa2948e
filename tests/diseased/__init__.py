"""Small runs, data sets and losses that are ill in a known way, and some that are healthy."""
