"""Checkpoints on this machine: several roots, found by name or path. No Qt here."""
