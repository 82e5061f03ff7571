"""What a night costs: `./inv bench.night`.

`boards.py`, `simulated.py` and `pages.py` measure a part each, `run.py` keeps what they found, `table.py` shows it.
"""
