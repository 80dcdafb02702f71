"""The live table of `estafette top`, drawn by Textual."""

from collections.abc import Awaitable, Callable, Sequence
from typing import ClassVar, Literal

from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import DataTable, Footer, Input, Label, Static

from services.console.top import HEADS, Order, Row, ordered
from shared.redis.redis import RedisAway

Action = Literal["suspend", "resume"]
#: What an event takes of a reason.
MAX_WHY_CHARS = 500
_ASKED: dict[Action, str] = {
    "suspend": "Send nothing to {site} until somebody resumes it. Why?",
    "resume": "Send to {site} again. Why?",
}


class Why(ModalScreen[str | None]):
    """Asks for the reason, without which nothing is done: a text, or None."""

    CSS = """
    Why { align: center middle; }
    #ask { width: 80%; max-width: 100; height: auto; padding: 1 2; border: thick $warning; background: $surface; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "leave", "Leave it", priority=True)]

    def __init__(self, question: str) -> None:
        super().__init__()
        self._question = question

    def compose(self) -> ComposeResult:
        with Vertical(id="ask"):
            yield Label(self._question, markup=False)
            yield Input(placeholder="for whoever reads it later", max_length=MAX_WHY_CHARS)
            yield Label("Enter: do it   Esc: leave it")

    def on_input_submitted(self, event: Input.Submitted) -> None:
        why = event.value.strip()
        if why:
            self.dismiss(why)

    def action_leave(self) -> None:
        self.dismiss(None)


class Top(App[None]):
    """`look` finds the rows, and `act` does something to a site and says what; both may raise RedisAway. It looks every
    so many seconds, unless it is frozen."""

    CSS = "#head { height: 1; padding: 0 1; background: $panel; } #sites { height: 1fr; }"
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("o", "order('oldest')", "Oldest"),
        Binding("w", "order('waiting')", "Waiting"),
        Binding("d", "order('deferred')", "Deferred"),
        Binding("h", "order('in hand')", "In hand"),
        Binding("t", "order('taken/s')", "Taken/s"),
        Binding("n", "order('site')", "Name"),
        Binding("p", "freeze", "Pause"),
        Binding("s", "ask('suspend')", "Suspend"),
        Binding("r", "ask('resume')", "Resume"),
        Binding("q", "quit", "Quit"),
    ]

    def __init__(
        self,
        look: Callable[[], Awaitable[Sequence[Row]]],
        act: Callable[[str, Action, str], Awaitable[str]],
        every_s: float,
    ) -> None:
        super().__init__()
        self._look = look
        self._act = act
        self._every_s = every_s
        self._order: Order = "oldest"
        self._is_frozen = False
        self._rows: Sequence[Row] = ()
        self._trouble = ""
        self._said = ""

    def compose(self) -> ComposeResult:
        yield Static(id="head", markup=False)
        yield DataTable[str](id="sites", cursor_type="row", zebra_stripes=True)
        yield Footer()

    async def on_mount(self) -> None:
        self._table.add_columns(*HEADS)
        self.set_interval(self._every_s, self._tick)
        await self._refreshed()

    @property
    def _table(self) -> "DataTable[str]":
        return self.query_one("#sites", DataTable)

    @property
    def chosen(self) -> Row | None:
        """The row that the cursor is on."""
        at = self._table.cursor_row
        shown = ordered(self._rows, self._order)
        return shown[at] if 0 <= at < len(shown) else None

    async def _tick(self) -> None:
        if not self._is_frozen:
            await self._refreshed()

    async def _refreshed(self) -> None:
        chosen = self.chosen
        try:
            self._rows, self._trouble = await self._look(), ""
        except RedisAway as away:
            self._trouble = f"Redis does not answer: {away}"
        self._show(chosen)

    def _show(self, chosen: Row | None) -> None:
        """All rows, the cursor at the site where it was."""
        table, shown = self._table, ordered(self._rows, self._order)
        table.clear()
        for row in shown:
            table.add_row(*row.cells, key=row.site)
        names = [row.site for row in shown]
        if chosen is not None and chosen.site in names:
            table.move_cursor(row=names.index(chosen.site))
        waiting, deferred = sum(row.waiting for row in shown), sum(row.deferred for row in shown)
        words = [f"{len(shown)} sites, {waiting} waiting, {deferred} deferred, by {self._order}"]
        words += [word for word in ("paused" if self._is_frozen else "", self._trouble, self._said) if word]
        self.query_one("#head", Static).update(" · ".join(words))

    def action_order(self, order: Order) -> None:
        chosen = self.chosen
        self._order = order
        self._show(chosen)

    def action_freeze(self) -> None:
        self._is_frozen = not self._is_frozen
        self._show(self.chosen)

    def action_ask(self, action: Action) -> None:
        chosen = self.chosen
        if chosen is None:
            return

        async def answered(why: str | None) -> None:
            if why is None:
                return
            try:
                self._said = await self._act(chosen.site, action, why)
            except RedisAway as away:
                self._said = f"not done, Redis does not answer: {away}"
            await self._refreshed()

        self.push_screen(Why(_ASKED[action].format(site=chosen.site)), answered)
