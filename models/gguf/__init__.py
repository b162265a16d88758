"""Reading GGUF headers, bounded and without tensor data. No Qt here."""
