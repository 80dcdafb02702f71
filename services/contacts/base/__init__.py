"""What all of contacts stands on: PostgreSQL, fields and their values, a contact and how it stands on each channel.

store.py ══SQL══ database.py       the statements of contacts and fields
   ╰──→ contact.py ──→ channels.py, fields.py      a contact, what is wanted of it, and what a value is
"""
