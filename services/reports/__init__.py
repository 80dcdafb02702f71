"""Reports: what became of each job and of each message, counted exactly, and every event for those who ask.

Reads:     the stream `events` (group `reports`); jobs and their recipients as queueing stores them.
Writes:    Finished, once for each job. Answers GET /v1/jobs/{job}, /v1/messages/{message} /v1/events and
           /v1/statistics.
Owns:      of a job: states, counts, bitmaps, timeline, the latest clicks of its messages; the event ids in `reported`;
           the feeds of tenants and jobs; statistics of jobs and, day by day, of tenants; the trimming of `events`, and
           the removal of jobs after their retention.
Promises:  each fact counts once, however often it is delivered or published, at kill -9 of any process; a message is in
           one state, which only moves forward, so the counts add up at any moment; a fact keeps its place and its time
           in the timeline when its details have been trimmed; the work of one request is bounded; nobody learns of
           another tenant's jobs, not even that they exist.

    reports.py ──→ tally.py ──→ state.py      what a fact changes
        │             ╰──→ timeline.py        20 bytes for a fact
        ╰──→ store.py ══Redis══→ http.py ──→ job_report.py, describe.py
    cells.py ──→ folding.py ══Redis══→ statistics.py ──→ figures.py     by hour, and by what tells facts apart
    feed/                                     where in the streams the events of a tenant are, and pages of them
    late.py                                   clicks that are found out to be a machine's once they were counted
    finishing.py                              tells that a job has ended
    retention.py                              removes jobs, long after they have ended
"""
