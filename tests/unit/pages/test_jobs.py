"""What a report says adds up, and whatever somebody wrote in a job is text on its page."""

from typing import Any

from services.pages import jobs
from services.pages.asked import Asked, NotThere
from services.pages.drawing import Drawing, number, share, when, words
from tests.fakes.api_answers import COUNTS, JOB, RATES, job_statistics, row

DRAWING = Drawing("https://t.example.org")


class Answers:
    """An API that answers that, and says what it was asked."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.asked: list[tuple[str, Any]] = []

    async def get(self, path: str, query: Any = None) -> Any:
        self.asked.append((path, query))
        if path.endswith("/statistics"):
            return job_statistics()
        return {"links": []} if path.endswith("/report-links") else self.answer

    async def stream(self, path: str, query: Any) -> Any:
        raise AssertionError

    async def upload(self, path: str, query: Any, media: str, body: Any) -> Any:
        raise AssertionError

    async def send(self, method: str, path: str, body: Any = None, query: Any = None) -> Any:
        raise AssertionError


def test_each_stage_is_a_part_of_the_one_before() -> None:
    assert jobs.stages(JOB) == [
        ("Recipients", 1000), ("Accepted", 985), ("Delivered", 945), ("Opened", 412), ("Clicked", 92),
    ]  # fmt: skip


def test_what_never_happened_is_left_out_of_the_ends_and_the_parts_add_up() -> None:
    ends = {text: count for text, count, _ in jobs.ends(COUNTS)}

    assert "Cancelled" not in ends
    assert ends["Bounced"] == ends["the address is bad"] + ends["the address may be good later"] + 2
    assert ends["No end yet"] == 4


def test_how_far_a_job_is_counts_from_its_start() -> None:
    assert jobs.ended(row()) == 996
    assert jobs.ended(row(state="open", pending=0)) == 0
    assert jobs.ended(row(total=3, pending=4)) == 0


def test_rates_of_nothing_are_none() -> None:
    nothing = dict.fromkeys(RATES)

    assert {value for _, _, value in jobs.rates(nothing)} == {None}
    assert share(None) == number(None) == when(None) == "–"


async def drawn_job(**fields: Any) -> str:
    shown = await jobs.job(Answers({**JOB, **fields}), Asked("GET", "/", {"job": JOB["id"]}))
    who = {"tenant": "acme", "pages": [], "scopes": ("read",)}
    return DRAWING.page(shown.template, {**shown.context, "who": who}).decode()


async def test_a_job_to_a_segment_says_to_whom_it_went_and_why_to_nobody() -> None:
    sent = await drawn_job(contacts={"segment": 3, "name": "<Lille>", "version": 2, "selected": 1_200})
    criteria = await drawn_job(contacts={"segment": None, "name": None, "version": None, "selected": 7})
    nobody = await drawn_job(unselected="segment_unknown", unselected_detail="no such <segment>", total=0)
    waiting = await drawn_job(state="selecting", awaited="database")

    assert "the segment &lt;Lille&gt;, version 2: 1,200 contacts" in sent
    assert "who met its criteria: 7 contacts" in criteria
    assert "It was sent to nobody:</strong> no such &lt;segment&gt;." in nobody
    assert "waits for the database" in waiting


async def test_a_report_is_drawn_with_all_that_was_written_in_it_as_text() -> None:
    shown = await jobs.job(Answers(JOB), Asked("GET", "/", {"job": JOB["id"]}))

    who = {"tenant": "acme", "pages": [], "scopes": ("read",)}
    page = DRAWING.page(shown.template, {**shown.context, "who": who}).decode()

    assert "Bonjour &lt;b&gt;" in page
    assert "<b>" not in page
    assert "exemple.fr&#x2f;&lt;x&gt;" in page
    assert '<svg class="chart" height="220" role="img" aria-labelledby="funnel-title funnel-desc">' in page
    assert "style=" not in page
    assert "<script" not in page


async def test_the_list_asks_for_what_was_chosen_and_goes_on_with_it() -> None:
    api = Answers({"jobs": [row()], "next": "068vjfm5s9m2rc1jqqrg"})
    asked = Asked("GET", "/", query={"state": "queued", "list": "news & co", "tag": "", "other": "x"})

    shown = await jobs.jobs(api, asked)
    page = DRAWING.page(shown.template, shown.context).decode()

    assert api.asked == [("/v1/jobs", {"state": "queued", "list": "news & co", "limit": "50"})]
    assert shown.context["next"] == "/console/jobs?state=queued&list=news+%26+co&after=068vjfm5s9m2rc1jqqrg"
    assert "#a&lt;b" in page
    assert "996 of 1,000 ended" in page


async def test_a_list_without_jobs_says_so() -> None:
    shown = await jobs.jobs(Answers({"jobs": [], "next": None}), Asked("GET", "/"))

    assert b"No job yet" in DRAWING.page(shown.template, shown.context)


def test_a_parameter_of_the_path_stays_one() -> None:
    assert Asked("GET", "/", {"job": "a/b?c"}).segment("job") == "a%2Fb%3Fc"
    try:
        Asked("GET", "/", {"job": ".."}).segment("job")
    except NotThere:
        return
    raise AssertionError


def test_times_and_words_are_said_as_people_say_them() -> None:
    assert when("2026-01-31T09:05:00.123Z") == "31 Jan 2026, 09:05:00 UTC"
    assert when("soon") == "soon"
    assert words("soft_bounces") == "soft bounces"
    assert share(0.0011) == "0.11 %"
    assert share(0.436) == "43.6 %"
