"""Which rules a site is under, from which addresses we leave, and when there is a place: the operator's files and the
gate."""
