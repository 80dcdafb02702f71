"""The API of sending domains: proof that a domain is the tenant's, keys, rotation. What is known of them is shared
(`shared.redis.sending_domains`)."""
