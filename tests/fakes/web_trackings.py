"""On which sites the tenant `demo` follows visitors, said by a test."""

from shared.words.visits import WebTracking

SHOP = WebTracking(("www.exemple.fr",), ("basket", "purchase"), ("EUR", "CHF"))


class Sites:
    """Of `demo` that, of all others nothing; `is_known` says whether it knows all."""

    def __init__(self, chosen: WebTracking | None = SHOP, *, is_known: bool = True) -> None:
        self.chosen = chosen
        self.is_known = is_known

    def of(self, tenant: str) -> WebTracking | None:
        return self.chosen if tenant == "demo" else None
