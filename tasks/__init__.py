"""What a person types. Every task is a few lines: what does the work is imported when it runs."""

from __future__ import annotations

from invoke import Collection

from tasks.bench import (
    bench_compression,
    bench_coverage,
    bench_measure,
    bench_night,
    bench_parity,
    bench_pruning,
    bench_verdicts,
)
from tasks.devices import (
    devices_adopt,
    devices_doctor,
    devices_list,
    devices_probe,
    devices_release,
    devices_reserve,
    devices_setup,
    devices_trust,
    double,
)
from tasks.farm import dashboard, farm_demo, nightly
from tasks.judging import (
    accept,
    bisect,
    compare,
    ledger_export,
    ledger_import,
    ledger_list,
    ledger_show,
    ledger_verdicts,
)
from tasks.releasing import (
    fleet,
    release,
    release_diff,
    release_key,
    release_prune,
    release_verify,
    rollout,
)
from tasks.shrinking import build, debug_quant, deploy, explain, export, models, package, shrink, train
from tasks.upkeep import lint, setup, store_gc, store_list, store_verify, targets_check, targets_list, test

_store = Collection("store", store_list, store_verify, store_gc)
_targets = Collection("targets", targets_list, targets_check)
_devices = Collection(
    "devices",
    devices_list,
    devices_probe,
    devices_trust,
    devices_adopt,
    devices_setup,
    devices_doctor,
    devices_reserve,
    devices_release,
)
_ledger = Collection("ledger", ledger_list, ledger_show, ledger_verdicts, ledger_export, ledger_import)
_bench = Collection(
    "bench", bench_measure, bench_verdicts, bench_pruning, bench_compression, bench_coverage, bench_night, bench_parity
)
_debug = Collection("debug", debug_quant)
_farm = Collection("farm", farm_demo)
_release = Collection("release", release_key, release_verify, release_diff, release_prune)
_release.add_task(release, name="make", default=True)
namespace = Collection(
    deploy,
    shrink,
    compare,
    accept,
    bisect,
    nightly,
    dashboard,
    rollout,
    fleet,
    build,
    train,
    explain,
    export,
    package,
    models,
    _targets,
    double,
    test,
    lint,
    setup,
    _store,
    _devices,
    _ledger,
    _bench,
    _debug,
    _farm,
    _release,
)
