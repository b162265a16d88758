"""Fathom's version, in one place. No Qt here."""

VERSION = "0.1.0"
