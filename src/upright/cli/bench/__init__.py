"""`upright bench`: how fast an engine is by itself, or a server behind HTTP."""
