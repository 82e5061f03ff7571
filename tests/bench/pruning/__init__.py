"""What articles claim of pruning, each claim tried on real networks with our own parts: `./inv bench.pruning`.

Cells (`work/`) train and cut, claims (`claims/`) say which cells they need and judge them, the rest measures and shows.
"""
