"""DKIM signatures, and the processes that make them so that the relay's loop does not."""
