"""The DeepSeek families; nothing is here yet. No Qt here.

What comes here: cards read from resources/catalog (TOML). A card says what a checkpoint is for,
which quantizations exist and how large they are, which sampling and chat-template options its
makers advise, and which of its files are pre-MLA.
"""
