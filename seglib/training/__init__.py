"""Training: batches, the loop, its checkpoints and the weights it ends with."""
