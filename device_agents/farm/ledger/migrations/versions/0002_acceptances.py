"""Which bundle a person accepted for a model and a target, and why; append-only."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from device_agents.farm.ledger.migrations.guards import guard

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Makes the table."""
    op.create_table(
        "acceptances",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), sa.Identity(), primary_key=True),
        sa.Column("model", sa.String, nullable=False),
        sa.Column("target", sa.String, nullable=False),
        sa.Column("variant", sa.String, nullable=False),
        sa.Column("bundle", sa.String, nullable=False),
        sa.Column("accepted", sa.String, nullable=False),
        sa.Column("who", sa.String, nullable=False),
        sa.Column("note", sa.String, nullable=False),
        sa.Column("report", sa.String, sa.ForeignKey("reports.id")),
        sqlite_autoincrement=True,
    )
    guard("acceptances", ["seq"])
