"""Contacts as recipients of a job: who belonged when sending started, handed over page by page.

targeting.py ──→ store.py ══SQL         who they are, written down once; and what stands in their fields
     │     ╰───→ recipient.py           a contact as a recipient, or why they are not addressable
     ╰─────────→ shared.redis.targets   pages, taken by queueing
"""
