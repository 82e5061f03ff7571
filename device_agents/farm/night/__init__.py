"""The farm at night: which piece runs where and when (agenda, schedule, retry, expected), and what a night leaves
behind (record, diary).
"""
