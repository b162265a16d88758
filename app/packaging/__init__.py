"""What makes an installer of Fathom: only used while one is built, never shipped."""
