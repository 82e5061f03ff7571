"""The ledger itself: reports go in whole and once, and come out as they went in; nothing in it is changed later."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from sqlalchemy import Select, and_, func, insert, select

from device_agents.farm.ledger import address, history
from device_agents.farm.ledger.entries import Acceptance, BundleEntry, ReportEntry, ResultEntry
from device_agents.farm.ledger.errors import NotInLedger, ReportConflict
from device_agents.farm.ledger.points import Series
from device_agents.farm.ledger.rows import Rows, from_rows, to_rows
from device_agents.farm.ledger.tables import acceptances, blocks, reports, results
from device_agents.farm.ledger.upgrade import upgrade
from device_agents.farm.report import Report, now
from edgewright.errors import BadArgument

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine


class Ledger:
    """Every report ever made, in the order in which they were filed (`seq`).

    Every method may raise LedgerUnavailable or LedgerDamaged.
    """

    def __init__(self, engine: Engine, where: str) -> None:
        self._engine = engine
        self.where = where

    @classmethod
    def open(cls, url: str | None, state: Path) -> Ledger:
        """The ledger that `url` names, else the file in `state`; made where there is none, brought up to date where it
        is older. Raises LedgerAddressError, LedgerTooNew, LedgerUnavailable, LedgerDamaged, MissingExtra.
        """
        parsed = address.parse(url, state)
        ledger = cls(address.connect(parsed), address.shown(parsed))
        try:
            with address.failures(ledger.where):
                upgrade(ledger._engine, ledger.where)
        except BaseException:
            ledger.close()
            raise
        return ledger

    def close(self) -> None:
        """Gives the connections back."""
        self._engine.dispose()

    def __enter__(self) -> Ledger:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def append(self, report: Report) -> bool:
        """Files a report; False where it was there already. On the disk when this returns.

        Raises BadReport, ReportConflict (the same id with other content).
        """
        return self.append_all([report]) == 1

    def append_all(self, given: Iterable[Report]) -> int:
        """Files all of them or, where one can't be filed, none. Returns how many were new. Raises as `append` does."""
        count = 0
        with self._writing() as connection:
            for report in given:
                count += self._append(connection, report)
        return count

    def report(self, id: str) -> Report:
        """The report as it was filed. Raises NotInLedger."""
        with self._reading() as connection:
            found = self._report(connection, id)
        if found is None:
            raise NotInLedger(f"The ledger has no report {id!r}.", where=self.where, remedy="./inv ledger lists them")
        return found

    def every(self) -> Iterator[Report]:
        """All reports in their order, one at a time."""
        for entry in self.reports():
            yield self.report(entry.id)

    def reports(
        self,
        *,
        id: str | None = None,
        model: str | None = None,
        target: str | None = None,
        device: str | None = None,
        purpose: str | None = None,
        valid: bool | None = None,
        since_seq: int | None = None,
        limit: int | None = None,
    ) -> list[ReportEntry]:
        """The reports that are so, oldest first; of more than `limit` the newest. since_seq: only later ones."""
        variants = (
            select(func.count())
            .where(results.c.report == reports.c.seq, ~results.c.canary)
            .scalar_subquery()
            .label("variants")
        )
        names = [name for name in ReportEntry.__dataclass_fields__ if name != "variants"]
        wanted = {"id": id, "model": model, "target": target, "device": device, "purpose": purpose, "valid": valid}
        query = _where(select(*(reports.c[name] for name in names), variants), reports, wanted)
        return [ReportEntry(*row) for row in self._newest(query, since_seq, limit)]

    def results(
        self,
        *,
        report: str | None = None,
        model: str | None = None,
        target: str | None = None,
        device: str | None = None,
        variant: str | None = None,
        bundle: str | None = None,
        purpose: str | None = None,
        valid: bool | None = None,
        since_seq: int | None = None,
        limit: int | None = None,
    ) -> list[ResultEntry]:
        """The results that are so, the canary model's among them; order and limit as in `reports`.

        bundle: a digest, or how it begins.
        """
        names = [name for name in ResultEntry.__dataclass_fields__ if name != "report"]
        columns = [reports.c[name] if name in reports.c else results.c[name] for name in names]
        columns.insert(1, reports.c.id)
        query = select(*columns).join(results, results.c.report == reports.c.seq)
        wanted = {"id": report, "model": model, "target": target, "device": device, "purpose": purpose, "valid": valid}
        query = _where(_where(query, reports, wanted), results, {"name": variant})
        if bundle is not None:
            query = query.where(results.c.bundle.startswith(bundle, autoescape=True))
        return [ResultEntry(*row) for row in self._newest(query, since_seq, limit, results.c.number)]

    def series(
        self,
        model: str | None = None,
        target: str | None = None,
        device: str | None = None,
        metric: str | None = None,
        purposes: Collection[str] | None = None,
    ) -> list[Series]:
        """Valid results from real devices, grouped by what they are of, each group ordered by seq.

        metric: only points that have it, one of history.METRICS; purposes: only of reports made for these.
        Raises BadArgument for a metric that there isn't.
        """
        if metric is not None and metric not in history.METRICS:
            raise BadArgument(
                f"There is no metric {metric!r}.", where="ledger", remedy=f"take one of {', '.join(history.METRICS)}"
            )
        with self._reading() as connection:
            return history.series(connection, {"model": model, "target": target, "device": device}, metric, purposes)

    def bundles(self, model: str, target: str, variant: str | None = None) -> list[BundleEntry]:
        """Every bundle that was measured of a model for a target, in the order in which they came."""
        with self._reading() as connection:
            return history.bundles(connection, {"model": model, "target": target}, variant)

    def accept(
        self,
        *,
        model: str,
        target: str,
        variant: str,
        bundle: str,
        who: str,
        note: str = "",
        report: str | None = None,
    ) -> Acceptance:
        """Writes down that a person accepted a bundle. report: id of one in the ledger. Raises NotInLedger."""
        row: dict[str, Any] = {
            "model": model,
            "target": target,
            "variant": variant,
            "bundle": bundle,
            "accepted": now(),
            "who": who,
            "note": note,
            "report": report,
        }
        with self._writing() as connection:
            if report is not None and self._seq(connection, report) is None:
                raise NotInLedger(f"The ledger has no report {report!r}.", where=self.where, remedy="./inv ledger")
            seq = connection.execute(insert(acceptances).returning(acceptances.c.seq), row).scalar_one()
        return Acceptance(seq=seq, **row)

    def acceptances(self, *, model: str | None = None, target: str | None = None) -> list[Acceptance]:
        """What was accepted, oldest first."""
        query = _where(select(acceptances), acceptances, {"model": model, "target": target})
        with self._reading() as connection:
            return [Acceptance(*row) for row in connection.execute(query.order_by(acceptances.c.seq))]

    def accepted(self, model: str, target: str) -> Acceptance | None:
        """What was accepted last for a model and a target."""
        found = self.acceptances(model=model, target=target)
        return found[-1] if found else None

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with address.failures(self.where), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        """One transaction, alone: what others wrote before is seen, and nobody writes beside it."""
        with address.failures(self.where), self._engine.connect() as plain:
            connection = plain.execution_options(writes=True)
            with connection.begin():
                yield connection

    def _append(self, connection: Connection, report: Report) -> bool:
        rows: Rows = to_rows(report)
        there = self._report(connection, report.id)
        if there is not None:
            # Compared as reports: one that an earlier version filed lacks the fields that came later.
            if there == report:
                return False
            raise ReportConflict(
                f"The ledger has another report {report.id!r}, with other content.",
                where=self.where,
                remedy=f"./inv ledger.show {report.id} shows the one that is there",
            )
        seq = connection.execute(insert(reports).returning(reports.c.seq), rows.report).scalar_one()
        for table, many in ((results, rows.results), (blocks, rows.blocks)):
            if many:
                connection.execute(insert(table), [{"report": seq} | row for row in many])
        return True

    def _seq(self, connection: Connection, id: str) -> int | None:
        return connection.execute(select(reports.c.seq).where(reports.c.id == id)).scalar()

    def _report(self, connection: Connection, id: str) -> Report | None:
        found = connection.execute(select(reports.c.seq, reports.c.rest).where(reports.c.id == id)).first()
        if found is None:
            return None
        packed = connection.execute(
            select(blocks.c.result, blocks.c.number, blocks.c.samples).where(
                and_(blocks.c.report == found.seq, blocks.c.samples.is_not(None))
            )
        )
        return from_rows(found.rest, [(row.result, row.number, row.samples) for row in packed])

    def _newest(self, query: Select[Any], since: int | None, limit: int | None, *then: Any) -> list[Any]:
        """The rows oldest first, of more than `limit` the last; `then`: further columns to order by."""
        if since is not None:
            query = query.where(reports.c.seq > since)
        query = query.order_by(reports.c.seq.desc(), *(column.desc() for column in then)).limit(limit)
        with self._reading() as connection:
            return list(reversed(connection.execute(query).all()))


def _where(query: Select[Any], table: Any, wanted: dict[str, Any]) -> Select[Any]:
    """Narrows a query to rows whose columns have these values; None stands for any."""
    return query.where(*(table.c[name] == value for name, value in wanted.items() if value is not None))
