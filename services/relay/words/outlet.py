"""By which source addresses a message leaves, and whose the connections are. Pure."""

from typing import NamedTuple


class Outlet(NamedTuple):
    """A pool of source addresses. `tenant` is the one whose connections these are, lent to nobody; "": everybody's."""

    pool: str
    tenant: str = ""
