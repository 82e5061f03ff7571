"""What our search gives beside what a user gets from other tools today, in one run: `./inv bench.compression`.

`work/` makes networks, files and searches, `rows.py` says which of them stand in the table, `speed.py` times all of
them in one session, the rest judges and shows.
"""
