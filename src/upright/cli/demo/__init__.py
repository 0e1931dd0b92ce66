"""`upright demo`: what the reader can do, shown at once."""
