"""Downloads that survive anything: blocks, jobs, and the child that runs them. No Qt here."""
