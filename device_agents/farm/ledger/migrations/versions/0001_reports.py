"""Reports, their results and the results' blocks, append-only."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from device_agents.farm.ledger.migrations.guards import guard

revision = "0001"
down_revision = None

_SEQ = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Makes the tables."""
    op.create_table(
        "reports",
        sa.Column("seq", _SEQ, sa.Identity(), primary_key=True),
        sa.Column("id", sa.String, nullable=False, unique=True),
        sa.Column("started", sa.String, nullable=False),
        sa.Column("finished", sa.String, nullable=False),
        sa.Column("model", sa.String, nullable=False),
        sa.Column("target", sa.String, nullable=False),
        sa.Column("device", sa.String, nullable=False),
        sa.Column("identity", sa.String),
        sa.Column("stand_in", sa.Boolean, nullable=False),
        sa.Column("emulated", sa.Boolean, nullable=False),
        sa.Column("valid", sa.Boolean, nullable=False),
        sa.Column("purpose", sa.String, nullable=False),
        sa.Column("git_commit", sa.String),
        sa.Column("kernel", sa.String),
        sa.Column("os", sa.String),
        sa.Column("agent_version", sa.String),
        sa.Column("boot_id", sa.String),
        sa.Column("governor", sa.String),
        sa.Column("power_mode", sa.String),
        sa.Column("max_freq_khz", sa.BigInteger),
        sa.Column("temperature_c", sa.Float),
        sa.Column("canary_ns", sa.Float),
        sa.Column("canary_model_p50_ns", sa.Float),
        sa.Column("rest", sa.LargeBinary, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("reports_by_series", "reports", ["model", "target", "device"])
    op.create_table(
        "results",
        sa.Column("report", _SEQ, sa.ForeignKey("reports.seq"), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("canary", sa.Boolean, nullable=False),
        sa.Column("bundle", sa.String),
        sa.Column("runtime", sa.String),
        sa.Column("runtime_version", sa.String),
        sa.Column("numpy", sa.String),
        sa.Column("format", sa.String),
        sa.Column("precision", sa.String),
        sa.Column("bytes", sa.BigInteger),
        sa.Column("p50_ns", sa.Float),
        sa.Column("p90_ns", sa.Float),
        sa.Column("p99_ns", sa.Float),
        sa.Column("load_ns", sa.Float),
        sa.Column("peak_bytes", sa.BigInteger),
        sa.Column("energy_mj", sa.Float),
        sa.Column("metric_name", sa.String),
        sa.Column("metric_value", sa.Float),
        sa.Column("metric_n", sa.BigInteger),
        sa.Column("outputs_sha256", sa.String),
        sa.Column("error", sa.String),
    )
    op.create_index("results_by_bundle", "results", ["bundle"])
    op.create_table(
        "blocks",
        sa.Column("report", _SEQ, primary_key=True),
        sa.Column("result", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("kept", sa.Boolean, nullable=False),
        sa.Column("process", sa.BigInteger),
        sa.Column("round", sa.BigInteger),
        sa.Column("position", sa.BigInteger),
        sa.Column("attempt", sa.BigInteger),
        sa.Column("batch", sa.BigInteger),
        sa.Column("count", sa.Integer, nullable=False),
        sa.Column("ns", sa.Float),
        sa.Column("others_cpu_share", sa.Float),
        sa.Column("canary_ratio", sa.Float),
        sa.Column("samples", sa.LargeBinary),
        sa.ForeignKeyConstraint(["report", "result"], ["results.report", "results.number"]),
    )
    guard("reports", ["seq"], ["id"])
    guard("results", ["report", "number"])
    guard("blocks", ["report", "result", "number"])
