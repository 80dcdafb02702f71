"""How a process of ours lives: settings, logs, metrics, start and stop, the master secret, processes for what is not
trusted."""
