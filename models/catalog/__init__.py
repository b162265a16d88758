"""The DeepSeek families: what each is for, and what its checkpoints need. No Qt here."""
