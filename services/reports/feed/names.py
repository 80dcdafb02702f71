"""The keys of one script call, of which entries point at some."""


class Names:
    """The keys of a script call, each once; `at` gives the place of the first of some that stand together."""

    def __init__(self, *first: str) -> None:
        self.all = list(first)
        self._places: dict[str, int] = {}

    def known(self, name: str) -> int | None:
        """The place of a name that was given one."""
        return self._places.get(name)

    def at(self, *names: str) -> int:
        place = self._places.get(names[0])
        if place is None:
            place = self._places[names[0]] = len(self.all) + 1
            self.all += names
        return place
