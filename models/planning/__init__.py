"""From what the user names to a plan: opens checkpoints here and on the hub, plans, verifies."""
