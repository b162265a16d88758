"""The Hugging Face hub: what is there and where it lies, never the weights. No Qt here."""
