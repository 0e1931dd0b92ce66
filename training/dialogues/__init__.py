"""Conversations about documents: questions and answers, calls of a tool, a document read as a whole."""
