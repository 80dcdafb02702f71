"""The client of the HTTP API for programs in Python: no service, and a distribution of its own (`estafette-client`).

It reads: what the API answers. It owns: nothing. It promises that what may be repeated is repeated, under one
Idempotency-Key and no sooner than Retry-After says, and that what is refused is an exception with the word of the
problem. It imports no service and nothing of `shared`: it runs where nothing else of the engine is.
"""
