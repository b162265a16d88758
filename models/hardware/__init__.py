"""What the machine has and how busy it is: GPUs, RAM, CPU, one process. No Qt here."""
