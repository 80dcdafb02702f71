"""echo: a service for trying what a new one takes. It reads events, and says how many.

Reads       the stream `events` (group `echo`).
Writes      nothing.
Owns        nothing: what it has counted is gone with it.
"""
