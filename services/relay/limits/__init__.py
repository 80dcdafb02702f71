"""How much may be sent, and over how many connections, by all relays together: permits, slots, paces found."""
