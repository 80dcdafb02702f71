"""Formats of mail as RFCs have them, and our templates: text in, text out; no clock, no network."""
