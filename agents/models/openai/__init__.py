"""Models behind the openai SDK."""
