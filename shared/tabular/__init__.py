"""Tables that come as a stream of bytes, such as a CSV somebody saved: encodings, lines, headings, rows. Pure."""
