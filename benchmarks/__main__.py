"""`python -m benchmarks [SECTION ...] [--quick]`: measure, print a table of ratios."""

import argparse
import os
import shutil
import signal
import sys
from dataclasses import replace
from pathlib import Path

from benchmarks import ingest, measure, page, watch
from benchmarks.report import Report

WORK = Path(__file__).parent / "work"
SECTIONS = ("stream", "ranges", "seek", "readers", "upload", "latency", "ingest", "page")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=f"of {', '.join(SECTIONS)}")
    parser.add_argument("--quick", action="store_true", help="smaller videos, fewer rounds")
    parser.add_argument("--rounds", type=int, help="how often each peer is measured")
    parser.add_argument("--json", type=Path, help="write the results here too")
    options = parser.parse_args()
    if unknown := set(options.sections) - set(SECTIONS):
        parser.error(f"no such section: {', '.join(sorted(unknown))}")
    chosen = set(options.sections or SECTIONS)
    sizes = measure.QUICK if options.quick else measure.Sizes()
    if options.rounds:
        sizes = replace(sizes, rounds=options.rounds)
    # Beside the data folder of a developer's own server nothing may be measured by mistake.
    for name in [name for name in os.environ if name.startswith(("REELBASE_", "REPLICATE_"))]:
        del os.environ[name]

    # As after Ctrl-C: servers are stopped, the work folder goes.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    shutil.rmtree(WORK, ignore_errors=True)
    WORK.mkdir()
    report = Report()
    machine = watch.machine(WORK)
    report.say(machine)
    try:
        if chosen & {"stream", "ranges"}:
            measure.throughput(report, WORK, sizes, chosen)
        for name in ("seek", "readers", "upload", "latency"):
            if name in chosen:
                getattr(measure, name)(report, WORK, sizes)
        if "ingest" in chosen:
            ingest.ingest(report, WORK)
        if "page" in chosen:
            page.page(report, WORK)
    finally:
        shutil.rmtree(WORK, ignore_errors=True)
    print(f"{machine}; load {os.getloadavg()[0]:.1f} at the end\n\n{report.table()}")
    if options.json:
        options.json.write_text(report.json(machine=machine))


if __name__ == "__main__":
    main()
