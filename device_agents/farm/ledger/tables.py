"""The ledger's tables as the code reads and writes them. How they come to be, step by step, is in migrations/."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
)

metadata = MetaData()

# SQLite counts up by itself in a column that is called INTEGER only; AUTOINCREMENT never takes a number twice.
_SEQ = BigInteger().with_variant(Integer(), "sqlite")

reports = Table(
    "reports",
    metadata,
    Column("seq", _SEQ, Identity(), primary_key=True),  # the order of time: boards' and hosts' clocks may be wrong
    Column("id", String, nullable=False, unique=True),
    Column("started", String, nullable=False),
    Column("finished", String, nullable=False),
    Column("model", String, nullable=False),
    Column("target", String, nullable=False),
    Column("device", String, nullable=False),
    Column("identity", String),
    Column("stand_in", Boolean, nullable=False),
    Column("emulated", Boolean, nullable=False),
    Column("valid", Boolean, nullable=False),
    Column("purpose", String, nullable=False),
    Column("git_commit", String),
    Column("kernel", String),
    Column("os", String),
    Column("agent_version", String),
    Column("boot_id", String),
    Column("governor", String),
    Column("power_mode", String),
    Column("max_freq_khz", BigInteger),
    Column("temperature_c", Float),
    Column("canary_ns", Float),  # median of the agent's own canary
    Column("canary_model_p50_ns", Float),
    Column("rest", LargeBinary, nullable=False),  # the report's canonical JSON less packed samples, deflated
    Index("reports_by_series", "model", "target", "device"),
    sqlite_autoincrement=True,
)

results = Table(
    "results",
    metadata,
    Column("report", _SEQ, ForeignKey("reports.seq"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),  # place in the report; the canary model's is last
    Column("name", String, nullable=False),  # of the variant
    Column("canary", Boolean, nullable=False),
    Column("bundle", String),
    Column("runtime", String),
    Column("runtime_version", String),
    Column("numpy", String),
    Column("format", String),
    Column("precision", String),
    Column("bytes", BigInteger),
    Column("p50_ns", Float),
    Column("p90_ns", Float),
    Column("p99_ns", Float),
    Column("load_ns", Float),  # median
    Column("peak_bytes", BigInteger),
    Column("energy_mj", Float),
    Column("metric_name", String),
    Column("metric_value", Float),
    Column("metric_n", BigInteger),
    Column("outputs_sha256", String),
    Column("error", String),
    Index("results_by_bundle", "bundle"),
)

blocks = Table(
    "blocks",
    metadata,
    Column("report", _SEQ, primary_key=True),
    Column("result", Integer, primary_key=True, autoincrement=False),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("kept", Boolean, nullable=False),  # false: measured again, since the canary was over its bound
    Column("process", BigInteger),
    Column("round", BigInteger),
    Column("position", BigInteger),
    Column("attempt", BigInteger),
    Column("batch", BigInteger),
    Column("count", Integer, nullable=False),
    Column("ns", Float),  # median of one call
    Column("others_cpu_share", Float),
    Column("canary_ratio", Float),
    Column("samples", LargeBinary),  # samples.pack; null where the report's own JSON holds them
    ForeignKeyConstraint(["report", "result"], ["results.report", "results.number"]),
)

acceptances = Table(
    "acceptances",
    metadata,
    Column("seq", _SEQ, Identity(), primary_key=True),
    Column("model", String, nullable=False),
    Column("target", String, nullable=False),
    Column("variant", String, nullable=False),
    Column("bundle", String, nullable=False),
    Column("accepted", String, nullable=False),  # when: UTC, ISO 8601
    Column("who", String, nullable=False),
    Column("note", String, nullable=False),
    Column("report", String, ForeignKey("reports.id")),
    sqlite_autoincrement=True,
)
