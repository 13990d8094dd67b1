"""Tokenizers, templates and what their ids are packed into."""
