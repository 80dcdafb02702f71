"""The activity rank as a page: how many contacts have each note, what counts, the last run and the next one."""

from services.pages import charts
from services.pages.api import Api, Json, Refused
from services.pages.asked import Asked, Gone, Shown

HERE = "/console/activity"
#: What may count, by kind of operation, in the order of the API's document.
KINDS = {"email": ("opened", "clicked"), "sms": ("clicked",), "survey": ("answered",), "form": ("sent",)}
UNITS = ("days", "months")
_BANDS = (
    ("high", "8 to 10: high"),
    ("medium", "4 to 7: medium"),
    ("low", "1 to 3: low"),
    ("none", "0: none"),
    ("not_addressable", "Not addressable, whatever their note"),
)
_DONE = {"set": "It counts from the next run on.", "ran": "Every contact has its note anew."}
_WRONG = (400, 422)


async def activity(api: Api, asked: Asked) -> Shown:
    return await _shown(api, _DONE.get(asked.query.get("done", ""), ""))


async def _shown(api: Api, notice: str = "", chosen: Json = None, refused: Refused | None = None) -> Shown:
    found = await api.get("/v1/activity")
    bands = [(text, found["bands"][name]) for name, text in _BANDS]
    context = {
        "title": "Activity",
        "nav": "activity",
        "activity": found,
        "chart": charts.funnel([(str(note), count) for note, count in reversed(list(enumerate(found["notes"])))]),
        "bands": bands,
        "total": sum(found["notes"]),
        "settings": chosen or found["settings"],
        "kinds": KINDS,
        "units": UNITS,
        "said": None if found["last_run"] is None else said(found["last_run"]["settings"]),
        "problem": None if refused is None else {"detail": refused.detail, "faults": refused.faults},
        "notice": notice,
    }
    return Shown("activity", context, 200 if refused is None else 422)


def said(settings: Json) -> str:
    """Settings in a sentence."""
    counts = [f"{kind} {' and '.join(found)}" for kind, found in settings["counts"].items() if found]
    period = settings["period"]
    return f"at least {settings['least']} of: {', '.join(counts)}, in the last {period['count']} {period['unit']}"


async def change(api: Api, asked: Asked) -> Shown | Gone:
    form = asked.form
    counts = {kind: [one for one in known if form.get(f"{kind}.{one}") == "yes"] for kind, known in KINDS.items()}
    body = {
        "period": {"count": _number(form.get("count", "")), "unit": form.get("unit", "months")},
        "least": _number(form.get("least", "")),
        "counts": {kind: found for kind, found in counts.items() if found},
    }
    try:
        await api.send("PUT", "/v1/activity", body)
    except Refused as refused:
        if refused.status not in _WRONG:
            raise
        return await _shown(api, "", body, refused)
    return Gone(f"{HERE}?done=set")


def _number(text: str) -> int:
    """0, which the API refuses, of what is none."""
    text = text.strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) < 8 else 0


async def run(api: Api, _asked: Asked) -> Gone:
    await api.send("POST", "/v1/activity/run")
    return Gone(f"{HERE}?done=ran")
