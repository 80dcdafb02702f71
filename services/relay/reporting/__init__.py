"""What we tell others of encryption (RFC 8460): counted by the day, sent as reports."""
