"""submission: mail that programs of tenants hand over by SMTP becomes jobs.

Reads:     SMTP at `submission.port` (STARTTLS) and `submission.tls_port` (TLS first); tenants and keys in Redis.
Writes:    nothing: what it takes goes to POST /v1/mails of this installation (`submission.api`).
Owns:      the dialogue of RFC 6409: AUTH, envelope, data, and the replies.
Promises:  250 to the final dot only once the job is stored; else 4xx, and the same mail brought again is the same job.
           No key crosses a network in clear. A wrong one costs time. No mail is read beyond its bounds, and who talks
           garbage, or keeps a session for nothing, costs nobody else theirs.

    smtp.py (the protocol), tls_first.py (the port where TLS comes first)
      │          ╰──→ dsn.py         what MAIL and RCPT say of reports (RFC 3461)
      ↓
    submission.py ──→ replies.py      what is said to a mail, by what the API has answered
      ↓
    api.py ─HTTP→ queueing: given.py (the header), given_body.py (the body), mails_http.py
"""
