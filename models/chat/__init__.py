"""Conversations: their tree, their store, prompts, reasoning. No Qt here."""
