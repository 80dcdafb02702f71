"""The activity rank (*degré d'activité*): how active each contact is among the others of its tenant, from 0 to 10.

    ../rank_http.py ──→ run.py ══SQL        a run, and what is shown of it
                          ├──→ asked.py     what a tenant counts as activity, and from when on
                          ├──→ due.py       when a run is due: ranking.py looks
                          ╰──→ notes.py     who gets which note; the bands that people speak of

A note is given by a run, to all contacts of a tenant at once, and stays until the next one.
"""
