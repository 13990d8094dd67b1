"""Agents: models and their transports, transcripts, chat rendering, the agent actor."""
