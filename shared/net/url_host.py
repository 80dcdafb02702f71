"""How a URL on this machine names the host on which something listens."""


def url_host(host: str) -> str:
    """Any-address becomes loopback, IPv6 is bracketed."""
    if host in ("", "0.0.0.0"):  # noqa: S104 - compared, not bound
        return "127.0.0.1"
    if host == "::":
        return "[::1]"
    return f"[{host}]" if ":" in host else host
