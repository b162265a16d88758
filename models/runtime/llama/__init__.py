"""Everything that touches llama.cpp. Runs in child processes only, never in the window's process.

The only package that may import ``llama_cpp`` (import-linter holds it). No Qt here.
"""
