"""Newer versions: asked for by the user, signed, fetched, never installed by Fathom. No Qt here."""
