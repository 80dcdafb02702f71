"""What services share in Redis: keys, streams, ready queues, lists; how a process reaches it."""
