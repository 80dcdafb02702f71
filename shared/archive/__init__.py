"""The archive as those who write it and those who search it agree on it: where files are, what they are called, what is
in them, and how they are searched.

Only `target.py` and `search.py` need `pip install 'estafette[archive]'`.
"""
