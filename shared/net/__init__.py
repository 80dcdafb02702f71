"""How we ask and listen: DNS, inbound SMTP, HTTP servers, and whom an address belongs to."""
