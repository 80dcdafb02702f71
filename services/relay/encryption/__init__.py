"""How a connection is to be secured: policies by MTA-STS and DANE, DNSSEC answers, certificates."""
