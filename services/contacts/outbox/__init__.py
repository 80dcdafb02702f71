"""What is told of contacts: facts for the stream of events, first written down where contacts are.

    ../contacts.py, ../imports/, ../rank/, ../risk/ ══SQL        a fact, in the transaction of what it tells: noting.py
    ../told_http.py ──→ wanted.py                                what a tenant wants to be told
                            telling.py ──→ rows.py ──→ events    from PostgreSQL to the streams

A transaction that ends has told what it did, one that does not has told nothing. A row goes to the streams and is
removed then: a process that dies between the two tells it again, under the same `event_id`.
"""
