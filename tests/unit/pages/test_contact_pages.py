"""The pages of contacts, segments, imports and activity: what they ask the API for, and what their forms do."""

from collections.abc import AsyncIterator, Mapping
from html import unescape
from typing import Any

import msgspec
import pytest

from services.pages import activity, contacts, imports, segments
from services.pages.api import BrokeOff, Refused
from services.pages.asked import Asked, Download, Gone, NotThere, Shown, Upload
from tests.fakes.api_answers import ACTIVITY, CRITERIA, OPERATION, REPORT
from tests.unit.pages.test_console import READER, Api, drawn

JSON = msgspec.json.encode(CRITERIA).decode()


def ask(
    match: Mapping[str, str] | None = None,
    *,
    form: Mapping[str, str] | None = None,
    query: Mapping[str, str] | None = None,
    upload: Upload | None = None,
) -> Asked:
    return Asked("GET", "/", match or {}, query or {}, form or {}, upload=upload)


def page_of(found: Shown | Gone, who: Mapping[str, Any] | None = None) -> str:
    assert isinstance(found, Shown)
    return drawn(found, who) if who is not None else drawn(found)


class Refusing(Api):
    """Refuses what is sent, or everything."""

    def __init__(self, refused: Refused, *, all_of_it: bool = False) -> None:
        super().__init__()
        self._refused = refused
        self._all_of_it = all_of_it

    async def get(self, path: str, query: Mapping[str, str] | None = None) -> Any:
        if self._all_of_it:
            raise self._refused
        return await super().get(path, query)

    async def send(self, method: str, path: str, body: Any = None, query: Mapping[str, str] | None = None) -> Any:
        raise self._refused

    async def upload(self, path: str, query: Mapping[str, str], media: str, body: AsyncIterator[bytes]) -> Any:
        raise self._refused


# Contacts


async def test_contacts_are_looked_for_by_what_is_written_and_paged_with_it() -> None:
    api = Api()

    page = drawn(await contacts.contacts(api, ask(query={"q": " dur ", "tag": "vip", "email": "", "after": "x"})))

    assert api.asked == [("/v1/contacts", {"q": "dur", "tag": "vip", "limit": "50", "after": "x"})]
    assert "Ana &lt;Durand&gt;" in page
    assert "/console/contacts/one?key=ana%40exemple.fr&amp;copy=0" in page
    assert "q=dur&amp;tag=vip&amp;after=zQHq" in unescape(page).replace("&", "&amp;")


async def test_what_cannot_be_looked_for_is_said_on_the_page_and_other_refusals_are_not_swallowed() -> None:
    wrong = Refused(422, "invalid_query", "x", ("?email: no @",))

    shown = await contacts.contacts(Refusing(wrong, all_of_it=True), ask(query={"email": "x"}))

    assert shown.status == 422
    assert "<li>email: no @</li>" in drawn(shown)
    with pytest.raises(Refused):
        await contacts.contacts(Refusing(Refused(409, "contacts_disabled", "none"), all_of_it=True), ask())


async def test_a_contact_is_shown_with_its_fields_why_not_lists_and_changes() -> None:
    api = Api()

    page = drawn(await contacts.contact(api, ask(query={"key": "ana@exemple.fr", "copy": "0"})))

    assert ("/v1/contacts/ana@exemple.fr", {"copy": "0"}) in api.asked
    assert "<dt>M&lt;ember</dt><dd>yes</dd>" in page
    assert "vip, a&lt;b" in page
    assert "they did not agree" in page
    assert "550 5.1.1 &lt;nobody&gt;" in page
    assert "newsletter" in page
    assert "<dt>Activity</dt><dd>8 of 10</dd>" in page
    assert "<strong>Postcode</strong>: 69001 → nothing" in page
    assert "/console/recipients?address=ana%40exemple.fr" in page
    assert "Erase the contact" in page
    assert "Erase the contact" not in drawn(await contacts.contact(api, ask(query={"key": "ana@exemple.fr"})), READER)


async def test_a_contact_is_shown_with_what_happened_and_each_part_is_paged_by_itself() -> None:
    api = Api()
    query = {"key": "ana@exemple.fr", "copy": "0", "moments": "zQHt"}

    page = unescape(drawn(await contacts.contact(api, ask(query=query))))

    assert ("/v1/contact-timeline/ana@exemple.fr", {"copy": "0", "limit": "50", "after": "zQHt"}) in api.asked
    assert ("/v1/contact-changes/ana@exemple.fr", {"copy": "0", "limit": "50"}) in api.asked
    assert "<strong>Event</strong> <purchase>" in page
    assert 'https://exemple.fr/<x> <span class="soft">(link 3 of the mail)</span>' in page
    assert f'<a href="/console/jobs/{OPERATION["key"]}">Soldes <d\'hiver></a>' in page
    assert '<div class="small any">invoice</div>' in page
    assert page.count("a machine</span>") == 1
    assert "/console/contacts/one?key=ana%40exemple.fr&copy=0&moments=zQHm" in page
    assert "/console/contacts/one?key=ana%40exemple.fr&copy=0&after=zQHr" in page


@pytest.mark.parametrize("key", ["", ".", ".."])
async def test_without_a_key_there_is_no_contact(key: str) -> None:
    with pytest.raises(NotThere):
        await contacts.contact(Api(), ask(query={"key": key}))


async def test_a_contact_is_erased_only_by_who_is_sure() -> None:
    api = Api()

    unsure = await contacts.erase(api, ask(form={"key": "a/b", "copy": "1"}))
    sure = await contacts.erase(api, ask(form={"key": "a/b", "copy": "1", "sure": "yes"}))

    assert unsure == Gone("/console/contacts/one?key=a%2Fb&copy=1")
    assert sure == Gone("/console/contacts?done=erased")
    assert api.told == [("DELETE", "/v1/contacts/a%2Fb", None, {"copy": "1"})]


# Segments


async def test_segments_are_listed_with_how_many_are_in_each() -> None:
    api = Api()

    page = drawn(await segments.segments(api, ask()))

    assert [told[2]["criteria"]["segments"] for told in api.told] == [[1], [3]]
    assert page.count("12,480") == 2
    assert "Paris, did not &lt;open&gt;" in page


async def test_a_segment_that_cannot_be_counted_is_listed_all_the_same() -> None:
    page = drawn(await segments.segments(Refusing(Refused(422, "invalid_segment", "x")), ask()))

    assert page.count("cannot be counted") == 2
    with pytest.raises(Refused):
        await segments.segments(Refusing(Refused(401, "unknown_key", "x")), ask())


async def test_a_segment_is_shown_as_it_is_and_as_it_was() -> None:
    here = {"segment": "3"}

    now = drawn(await segments.segment(Api(), ask(here)))
    before = drawn(await segments.segment(Api(), ask(here, query={"version": "1"})))

    assert "not in any of: all active, segment 99" in now
    assert "Postcode begins with 75" in before
    assert "not in any of" not in before
    with pytest.raises(NotThere):
        await segments.segment(Api(), ask(here, query={"version": "7"}))


async def test_a_built_in_segment_is_counted_and_has_nothing_to_change_it_by() -> None:
    page = drawn(await segments.segment(Api(), ask({"segment": "1"})))

    assert "12,480" in page
    assert 'value="save"' not in page
    assert "/archive" not in page
    assert 'value="edit ' not in page


async def built(do: str, api: Api | None = None, form: Mapping[str, str] | None = None) -> Shown | Gone:
    return await segments.build(api or Api(), ask({}, form={"json": JSON, "name": "n", "do": do, **(form or {})}))


async def test_each_button_of_the_form_changes_the_tree_that_the_form_carries() -> None:
    rank = {"at": "2.4+", "chosen": "activity:", "p.at_least": "1", "p.at_most": "3"}
    postcode = {"at": "0", "chosen": "field:postcode", "p.test": "equals", "p.value": "69001"}

    added = page_of(await built("put", form=rank))
    changed = page_of(await built("put", form=postcode))
    removed = page_of(await built("remove 2"))
    joined = page_of(await built("none "))

    assert "activity rank from 1 to 3" in added
    assert "Postcode equals 69001" in changed
    assert "begins with" not in changed
    assert "behaviour: clicked" not in removed
    assert joined.index("NONE of these") < joined.index("Postcode begins")


async def test_a_criterion_is_written_in_inputs_of_its_own() -> None:
    asked = page_of(await built("add 2"))
    chosen = page_of(await built("choose", form={"at": "2+", "about": "field:colour"}))
    edited = page_of(await built("edit 2.0"))

    assert '<option value="field:postcode">Postcode</option>' in asked
    assert 'name="p.value"' not in asked
    assert 'name="at" value="2+"' in chosen
    assert '<option value="b&lt;lue">b&lt;lue</option>' in chosen
    assert '<option value="clicked" selected>clicked</option>' in edited
    assert 'name="p.at_least" type="number" step="any" value="3"' in edited


async def test_what_is_counted_and_shown_is_what_stands_in_the_form() -> None:
    api = Api()

    counted = page_of(await built("count", api))
    sampled = page_of(await built("sample", api))

    assert api.told[0][1:3] == ("/v1/segments/count", {"criteria": CRITERIA})
    assert api.told[1][1:3] == ("/v1/segments/sample", {"criteria": CRITERIA, "limit": 20})
    assert "11,902" in counted
    assert "/console/contacts/one?key=ana%40exemple.fr" in sampled


async def test_who_presses_enter_in_a_criterion_puts_it_in_and_in_the_name_saves() -> None:
    """A browser presses the first button of the form then."""
    pages = {
        "choose": await built("add "),
        "put": await built("choose", form={"at": "+", "about": "field:postcode"}),
        "save": await built("count"),
    }

    first = {do: page_of(page).partition(' name="do" value="')[2].partition('"')[0] for do, page in pages.items()}

    assert first == {do: do for do in pages}


async def test_a_segment_is_saved_anew_changed_and_archived() -> None:
    api = Api()
    form = {"json": JSON, "name": " n ", "do": "save"}

    new = await segments.build(api, ask(form=form))
    changed = await segments.build(api, ask({"segment": "3"}, form=form))
    archived = await segments.archive(api, ask({"segment": "3"}))

    body = {"name": "n", "criteria": CRITERIA}
    assert api.told == [
        ("POST", "/v1/segments", body, None),
        ("PUT", "/v1/segments/3", body, None),
        ("DELETE", "/v1/segments/3", None, None),
    ]
    assert new == Gone("/console/segments/4?done=saved")
    assert changed == Gone("/console/segments/3?done=saved")
    assert archived == Gone("/console/segments?done=archived")


async def test_what_is_wrong_with_criteria_is_said_and_nothing_that_was_written_is_lost() -> None:
    wrong = Refused(422, "invalid_segment", "the criteria do not fit", ("$.criteria.of[0].value: not <a> text",))

    refused = await built("save", Refusing(wrong))
    no_json = await segments.build(Api(), ask(form={"json": '{"kind": <', "name": "n", "do": "count"}))
    no_place = await built("remove 9")

    assert isinstance(refused, Shown)
    assert isinstance(no_json, Shown)
    assert isinstance(no_place, Shown)
    assert (refused.status, no_json.status, no_place.status) == (422, 422, 422)
    assert '<span class="fault">value: not &lt;a&gt; text</span>' in drawn(refused)
    assert 'value="n"' in drawn(no_json)
    assert "{&quot;kind&quot;: &lt;</textarea>" in drawn(no_json)
    assert "not there any more" in drawn(no_place)
    with pytest.raises(Refused):
        await built("count", Refusing(Refused(503, "unavailable", "x")))


# Imports


async def pieces(*found: bytes) -> AsyncIterator[bytes]:
    for one in found:
        yield one


def file(name: str = "salon.csv", *found: bytes) -> Upload:
    return Upload(name, pieces(*(found or (b"email\n", b"ana@exemple.fr\n"))))


async def test_a_file_is_looked_at_before_it_is_imported_and_each_column_can_be_said() -> None:
    api = Api()
    long = file("x.csv", b"a" * 200_000, b"b" * 200_000, b"never read")

    shown = await imports.upload(api, ask(query={"do": "look"}, form={"name": "", "mode": "new_only"}, upload=long))
    page = page_of(shown)

    (told,) = api.told
    assert (told[1], len(told[2]), told[3]) == ("/v1/contact-imports/preview", 262_144, {"media": "text/csv"})
    assert "Adresse &lt;Email&gt;" in page
    assert "line 3.Adresse &lt;Email&gt;: no address" in page
    assert '<option value="first_name" selected>First name</option>' in page
    assert '<p class="soft small any" id="map-1-s">Ana, &lt;Bo&gt; …</p>' in page
    assert "Of the first 3 lines, 2 would be refused" in page
    assert 'name="head.2" value="Âge"' in page
    assert '<option value="new_only" selected>' in page


async def test_a_file_is_imported_as_its_columns_were_said_or_tried_without_a_change() -> None:
    api = Api()
    form = {"name": "Salon", "mode": "update"}
    mapped = {"head.0": "Mél", "map.0": "email", "head.1": "Âge", "map.1": "", "head.2": ""}

    gone = await imports.upload(api, ask(query={"do": "import"}, form={**form, **mapped}, upload=file()))
    await imports.upload(api, ask(query={"do": "try"}, upload=file("a.TSV")))
    await imports.upload(api, ask(query={"do": "look"}, upload=file("a.ndjson", b"{}")))

    assert gone == Gone("/console/imports/14")
    assert [told[3] for told in api.told] == [
        {"media": "text/csv", "mapping": '{"Mél":"email","Âge":null}', "name": "Salon", "mode": "update"},
        {"media": "text/tab-separated-values", "name": "a.TSV", "mode": "update", "dry_run": "true"},
        {"media": "application/x-ndjson", "name": "a.ndjson", "mode": "update", "dry_run": "true"},
    ]
    assert api.told[0][2] == b"email\nana@exemple.fr\n"


async def test_without_a_file_or_with_one_that_is_refused_that_is_said() -> None:
    none = await imports.upload(Api(), ask(query={"do": "import"}, form={"name": "<n>"}, upload=file("")))
    absent = await imports.upload(Api(), ask(query={"do": "import"}))
    refused = await imports.upload(
        Refusing(Refused(415, "unsupported_media_type", "<no> table")), ask(query={"do": "look"}, upload=file())
    )

    assert "Choose a file first." in page_of(none)
    assert 'value="&lt;n&gt;"' in page_of(none)
    assert "Choose a file first." in page_of(absent)
    assert "&lt;no&gt; table" in page_of(refused)
    with pytest.raises(Refused):
        await imports.upload(Refusing(Refused(403, "missing_scope", "x")), ask(query={"do": "look"}, upload=file()))


class Told:
    """A report as it comes; it breaks off in the end where it is to."""

    def __init__(self, *found: str, breaks: bool = False) -> None:
        self._found = found
        self._breaks = breaks
        self.is_closed = False

    async def pieces(self) -> AsyncIterator[bytes]:
        for one in self._found:
            yield one.encode()
        if self._breaks:
            raise BrokeOff

    def close(self) -> None:
        self.is_closed = True


class Reporting(Api):
    def __init__(self, body: Told) -> None:
        super().__init__()
        self.body = body

    async def stream(self, path: str, query: Mapping[str, str]) -> Any:
        return self.body


async def test_an_import_is_shown_with_its_progress_and_the_first_lines_of_its_report() -> None:
    done = Reporting(Told(REPORT[:40], REPORT[40:]))

    page = drawn(await imports.one(done, ask({"import": "12"})))
    applying = drawn(await imports.one(Reporting(Told(REPORT, breaks=True)), ask({"import": "13"})))

    assert "no address, &#x27;&lt;x&gt;&#x27;" in page
    assert "=cy@exemple.fr" in page
    assert "the column &#x27;&lt;Age&gt;&#x27; is no field" in page
    assert "<progress" not in page
    assert '<progress id="far" max="10000" value="100">' in applying
    assert done.body.is_closed


async def test_a_long_report_is_not_read_to_its_end() -> None:
    lines = "".join(f"{number},,refused,x\r\n" for number in range(2, 100))
    endless = Told("line,key,result,detail\r\n" + lines, "this is not read", breaks=True)

    page = drawn(await imports.one(Reporting(endless), ask({"import": "12"})))

    assert page.count('<td class="n">') == 50
    assert "The first 50 are here." in page


async def test_a_report_is_a_file() -> None:
    found = await imports.report(Api(), ask({"import": "12"}))

    assert isinstance(found, Download)
    assert found.name == "contact-import-12.csv"


# Activity


async def test_the_rank_is_shown_as_a_histogram_in_bands_with_its_last_run() -> None:
    page = drawn(await activity.activity(Api(), ask(query={"done": "ran"})))

    assert "10: 123; 9: 120;" in page
    assert "0: 8007." in page
    assert "1,203" in page
    assert "at least 1 of: email opened, in the last 2 months" in page
    assert '<input type="checkbox" name="sms.clicked" value="yes" checked>' in page
    assert '<input type="checkbox" name="form.sent" value="yes">' in page
    assert "Every contact has its note anew." in page
    assert "Run it now" not in drawn(await activity.activity(Api(), ask()), READER)


async def test_before_the_first_run_that_is_said() -> None:
    class New(Api):
        async def get(self, path: str, query: Mapping[str, str] | None = None) -> Any:
            return {**ACTIVITY, "last_run": None, "notes": [0] * 11, "bands": dict.fromkeys(ACTIVITY["bands"], 0)}

    assert "there was none yet" in drawn(await activity.activity(New(), ask()))


async def test_what_counts_is_changed_and_a_refusal_is_said_with_what_was_written() -> None:
    api = Api()
    form = {"least": "2", "count": "90", "unit": "days", "email.clicked": "yes", "form.sent": "yes"}

    gone = await activity.change(api, ask(form=form))
    wrong = Refused(422, "invalid_activity", "nothing was set", ("$.least: <x>",))
    refused = await activity.change(Refusing(wrong), ask(form={**form, "least": "many"}))
    await activity.run(api, ask())

    settings = {
        "period": {"count": 90, "unit": "days"}, "least": 2, "counts": {"email": ["clicked"], "form": ["sent"]}
    }  # fmt: skip
    assert api.told == [("PUT", "/v1/activity", settings, None), ("POST", "/v1/activity/run", None, None)]
    assert gone == Gone("/console/activity?done=set")
    assert "<li>least: &lt;x&gt;</li>" in page_of(refused)
    assert 'value="90"' in page_of(refused)
    with pytest.raises(Refused):
        await activity.change(Refusing(Refused(403, "missing_scope", "x")), ask(form=form))
