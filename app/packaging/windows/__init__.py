"""What makes the installer for Windows. No Qt here, and not in the frozen program."""
