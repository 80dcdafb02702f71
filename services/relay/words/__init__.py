"""What the rooms of the relay say to each other: replies, results of TLS, waiting."""
