"""What one machine needs to run a whole instance: the supervisor, its processes, a Redis of its own, the
demonstration."""
