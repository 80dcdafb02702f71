"""The API of sending domains: proof that a domain is the tenant's, keys, rotation. What is known of them is shared
(`shared.redis.sending_domains`).

Writes      DomainChecked, where a check shows something else than was told last.
"""
