"""Who calls the API, and what the key that was shown allows. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field

#: What a key may do. A route names the one that it needs (`shared.http.api.Route`).
SCOPES = ("send", "read", "suppress", "admin", "inbound", "operator")


@dataclass(frozen=True)
class Principal:
    """Who calls: the tenant of the API key and what the key may do."""

    tenant: str
    scopes: frozenset[str]
    #: Quotas of the tenant's own (`shared.words.quotas`), by name; the settings have the others.
    quotas: Mapping[str, int] = field(default_factory=dict)
    #: The id of the key, by which an operator's actions are told apart.
    key: str = ""
