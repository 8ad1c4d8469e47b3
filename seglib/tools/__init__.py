"""What the `seglib` command does, one task a module: studies, estimates, the look at the machine, cleaning up."""
