"""How the bytes of a message are written after DATA: its line ends, its dots, and what ends it. Pure."""

#: The dot that ends a message.
END = b".\r\n"


def is_wire_ready(text: bytes) -> bool:
    """Every line of it ends in CRLF and none begins with a dot: `wire_body` would only end it. Also of a part of a
    message, where a line has its end in the next."""
    lines = text.splitlines()
    cut = text[-1:] not in (b"\n", b"")
    whole = len(b"".join(lines)) + 2 * (len(lines) - cut) == len(text)
    return whole and b"\n." not in text and text[:1] != b"." and text[-1:] != b"\r"


def wire_body(message: bytes) -> bytes:
    """Headers and body as DATA takes them: every line ends in CRLF, dots that begin a line are doubled (RFC 5321
    section 4.5.2), and the dot that ends it follows.

    A bare CR or LF is made CRLF, because hosts disagree on whether it ends a line: "SMTP smuggling" lives of that.
    """
    lines = message.splitlines()
    # Splitting and measuring costs a third of counting each kind of line end.
    if len(b"".join(lines)) + 2 * len(lines) != len(message):
        message = b"\r\n".join(lines) + b"\r\n"
    if b"\r\n." in message:
        message = message.replace(b"\r\n.", b"\r\n..")
    if message.startswith(b"."):
        message = b"." + message
    return message + END
