"""A message on its way: the route to its hosts, the connection, the SMTP transaction."""
