"""The feed: every event of a tenant, of a job, in the order of the streams, at the cost of what is shown.

events (a stream for each partition)
   │ indexing.py: each partition's stream, in its order, by whichever process is first
   ↓
feeds (chunks.py: a few bytes for an event)
   │ reading.py: a page is merged of all partitions
   ↓
http.py
"""
