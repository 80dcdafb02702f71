"""What the services agree on: bytes, names and meanings. Nothing here imports a service."""
