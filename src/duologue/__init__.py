"""Duologue: agent-user dialogues by the thousand, and a learner that trains on them."""
