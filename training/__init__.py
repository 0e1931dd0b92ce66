"""From rendered documents to the reader's checkpoint. Nothing here is part of what is installed."""
