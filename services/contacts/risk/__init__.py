"""Contacts at risk: whose address is gone, or who has done nothing with what they were sent for long.

    ../risk_http.py ──→ run.py ══SQL        a look at everybody of a tenant, and what is told of it
                          ╰──→ asked.py     for how long nothing, and when a look is due: looking.py looks
    ../following.py, ../contacts.py, ../imports/ ──→ run.py     whose address has just been given up

Who is at risk is a criterion of segments (`../segments`), right at every moment. What is kept is of whom it was told.
"""
