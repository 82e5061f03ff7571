"""The ledger's tables, step by step. A step that was released is never changed: what comes later is a new one."""
