"""What step types share: their registry, the run of an attempt, process control, script roots, recording."""
