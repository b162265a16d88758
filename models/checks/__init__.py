"""What is looked at before a checkpoint from anywhere is loaded. No Qt here."""
