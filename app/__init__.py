"""What the user sees: the window and the command line. The only package that imports Qt."""
