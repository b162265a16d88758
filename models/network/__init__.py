"""What every use of the network has in common: stopping, patience, words for failures. No Qt here.

No HTTP library is imported here; who sends requests is told in docs/architecture.md.
"""
