"""Whole lists moved in and out: files of addresses read, understood and applied, and the list written as a file.

http.py ──→ importing.py ──→ forms.py ──→ formats.py      what a heading says that the lines mean
   │            │   ╰──────→ dumps.py                      the same of what comes as JSON
   │            ├──→ spool.py                              the last line of an address wins
   │            ╰──→ applying.py ──→ store.py              what becomes of the list, or would
   ├──→ imports.py ══Redis                                 progress and report
   ╰──→ exporting.py ──→ cells.py                          and all of it back
"""
