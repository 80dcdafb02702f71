"""The process that mounts the routes of all services, and owns none."""
