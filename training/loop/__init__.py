"""The training loop: from a run's settings to its checkpoints."""
