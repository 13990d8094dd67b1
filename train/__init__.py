"""Training: shaping, losses, packing, the learner and the loop that feeds it."""
