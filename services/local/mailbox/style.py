"""How the mailbox's pages look, and the two small scripts of its list: no file or font comes from elsewhere."""

CSS = """
:root { color-scheme: light dark; --paper: #fff; --back: #f4f5f7; --ink: #1c2330; --soft: #667085; --line: #e3e6eb;
  --accent: #2457d6; --on-accent: #fff; --hover: #f0f4ff; --good: #15724a; --good-back: #e3f5ec; --danger: #b42318; }
@media (prefers-color-scheme: dark) { :root { --paper: #191d24; --back: #11141a; --ink: #e6e9ef; --soft: #98a2b3;
  --line: #2b313c; --accent: #8eb0ff; --on-accent: #10182a; --hover: #1f2530; --good: #7fd8ac; --good-back: #15352a;
  --danger: #ff9a8f; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--back); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
a { color: var(--accent); }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
.top { display: flex; flex-wrap: wrap; gap: 10px 16px; align-items: center; padding: 12px 20px;
  background: var(--paper); border-bottom: 1px solid var(--line); }
.top a.home { display: flex; gap: 9px; align-items: center; font-weight: 650; font-size: 17px; color: inherit;
  text-decoration: none; }
.top svg { width: 24px; height: 24px; flex: none; color: var(--accent); }
.top form { display: flex; gap: 8px; margin: 0; }
.top .search { margin-left: auto; }
main { max-width: 1080px; margin: 20px auto; padding: 0 20px; }
.card { background: var(--paper); border: 1px solid var(--line); border-radius: 10px; overflow: hidden; }
input[type=search] { width: 240px; max-width: 100%; min-width: 0; padding: 6px 11px; font: inherit; color: inherit;
  background: var(--back); border: 1px solid var(--line); border-radius: 7px; }
button, .button { display: inline-block; padding: 6px 13px; font: inherit; font-weight: 550; color: inherit;
  white-space: nowrap; text-decoration: none; cursor: pointer;
  background: var(--paper); border: 1px solid var(--line); border-radius: 7px; }
button:hover, .button:hover { background: var(--hover); }
button.first { color: var(--on-accent); background: var(--accent); border-color: var(--accent); }
button.first:hover { filter: brightness(1.08); }
.danger, a.button.danger { color: var(--danger); }
.soft { color: var(--soft); }
.count { padding: 10px 16px; font-size: 13px; color: var(--soft); border-bottom: 1px solid var(--line); }
ol.mails { margin: 0; padding: 0; list-style: none; }
ol.mails li { position: relative; display: grid; grid-template-columns: minmax(0, 2fr) minmax(0, 4fr) max-content 62px;
  gap: 0 16px; padding: 10px 16px; }
ol.mails li + li { border-top: 1px solid var(--line); }
ol.mails li:hover { background: var(--hover); }
ol.mails span, ol.mails a, ol.mails time { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
ol.mails a { color: inherit; font-weight: 600; text-decoration: none; }
ol.mails a::after { content: ""; position: absolute; inset: 0; }
ol.mails .from { grid-row: 2; grid-column: 2; font-size: 13px; color: var(--soft); }
ol.mails .path { grid-row: 2; grid-column: 1; font-size: 13px; color: var(--soft); }
ol.mails time, ol.mails .size { font-size: 13px; color: var(--soft); text-align: right;
  font-variant-numeric: tabular-nums; }
.nothing { padding: 56px 20px; text-align: center; color: var(--soft); }
.nothing strong { display: block; font-size: 17px; color: var(--ink); }
.pages { display: flex; justify-content: space-between; margin: 14px 0; }
details { margin: 18px 0; font-size: 14px; color: var(--soft); }
summary { cursor: pointer; }
details dl { gap: 8px 20px; margin: 12px 0; }
code { font: 13px/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; color: var(--ink);
  white-space: nowrap; }
.letter header { padding: 18px 20px 14px; }
h1 { margin: 0 0 10px; font-size: 21px; line-height: 1.3; overflow-wrap: anywhere; }
dl { display: grid; grid-template-columns: max-content minmax(0, 1fr); gap: 3px 16px; margin: 0; font-size: 14px; }
dt { color: var(--soft); }
dd { margin: 0; overflow-wrap: anywhere; }
.badge { display: inline-block; margin: 0 6px 2px 0; padding: 0 9px; font-size: 13px; border-radius: 99px;
  border: 1px solid var(--line); color: var(--soft); }
.badge.bad { color: var(--danger); }
.badge.good { color: var(--good); background: var(--good-back); border-color: transparent; }
.acts { display: flex; flex-wrap: wrap; gap: 8px; align-items: center; margin-top: 14px; font-size: 13px; }
.acts form { margin: 0; }
nav.tabs { display: flex; gap: 4px; padding: 0 14px; overflow-x: auto; border-top: 1px solid var(--line);
  border-bottom: 1px solid var(--line); }
nav.tabs a { padding: 9px 12px 8px; color: var(--soft); text-decoration: none; border-bottom: 2px solid transparent; }
nav.tabs a:hover { color: var(--ink); }
nav.tabs a:focus-visible { outline-offset: -2px; }
nav.tabs a[aria-current] { color: var(--ink); font-weight: 600; border-color: var(--accent); }
iframe { display: block; width: 100%; height: 72vh; min-height: 360px; border: 0; background: #fff;
  color-scheme: light; }
pre { margin: 0; padding: 16px 20px; font: 13px/1.55 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace;
  white-space: pre-wrap; overflow-wrap: anywhere; }
dl.fields { grid-template-columns: fit-content(240px) minmax(0, 1fr); gap: 7px 18px; padding: 16px 20px;
  font-size: 13px; }
dl.fields dt { overflow-wrap: anywhere; }
.files { margin: 0; padding: 0; list-style: none; }
@media (max-width: 640px) {
  main { margin: 12px auto; padding: 0 10px; }
  .top { padding: 10px 12px; }
  .top .search { order: 3; flex: 1 1 100%; min-width: 0; margin: 0; }
  .top .search input { flex: 1; width: 0; }
  .top .empty { margin-left: auto; }
  ol.mails li { grid-template-columns: minmax(0, 1fr) auto; padding: 10px 12px; }
  ol.mails a { grid-column: 1; grid-row: 1; }
  ol.mails time { grid-column: 2; grid-row: 1; }
  ol.mails .to { grid-column: 1 / 3; grid-row: 2; font-size: 13px; }
  ol.mails .from { grid-column: 1; grid-row: 3; }
  ol.mails .size { grid-column: 2; grid-row: 3; }
  ol.mails .path { display: none; }
  .count { padding: 8px 12px; }
  .letter header { padding: 14px; }
  dl { gap: 3px 12px; font-size: 13px; }
  dl.fields, details dl { grid-template-columns: minmax(0, 1fr); gap: 0; }
  dl.fields { padding: 12px 14px; }
  dl.fields dd, details dd { margin-bottom: 8px; }
}
"""

#: Times in the reader's own zone; without scripts they stay UTC, which the text says.
LOCAL_TIMES = """
const localTimes = root => { for (const time of root.querySelectorAll("time")) {
  const at = new Date(time.dateTime);
  time.title = time.dateTime;
  time.textContent = at.toDateString() === new Date().toDateString() ? at.toLocaleTimeString() : at.toLocaleString();
} };
localTimes(document);
"""

#: The newest page renews itself every two seconds while somebody looks at it; what is typed in the search box stays.
REFRESH = """
let shown = document.getElementById("mails").innerHTML;
const fresh = document.createElement("template");
setInterval(async () => {
  if (document.hidden) return;
  try {
    const answer = await fetch(location.href);
    if (!answer.ok) return;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("mails");
    localTimes(page);
    if (page.innerHTML === shown) return;
    shown = page.innerHTML;
    document.getElementById("mails").replaceChildren(...page.childNodes);
  } catch { /* the server restarts: the next round will tell */ }
}, 2000);
"""
