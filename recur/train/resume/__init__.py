"""Research mode: checkpoints off the training thread, and going on from the newest whole one."""
