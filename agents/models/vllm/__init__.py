"""Models behind vLLM servers, ours and other people's."""
