"""The test of the test: servers with a bug on purpose. Each must be found, by kill -9 or by the
order of system calls; a kill leaves what was written in the kernel, so it cannot show a missing
fdatasync."""

import argparse
import random
import subprocess

from .server import ROOT, build

# By kills: what the harness says is at least one of these.
BY_KILL = {
    "ack-before-commit": ("I1", "I6"),
    "ack-what-came": ("I1", "I6"),
    "result-before-commit": ("I6", "I7"),
    "lose-unacked": ("I1",),
    "lose-mark": ("I1",),
    "keep-mark": ("I2", "I9"),
    "lose-h-in": ("I8",),
    "forget-beyond": ("I2",),
}
# By kills of one of two servers.
BY_KILL_OF_ONE = {
    "forget-when-written": ("I1", "I4"),
    "no-outbox-row": ("I1", "I4"),
    "ack-to-peer-what-came": ("I1", "I4"),
}
# By scripts/durability.
BY_TRACE = ("no-fdatasync", "sync-wrong-file", "no-folder-sync", "swallow-eio",
            "ack-before-commit", "result-before-commit")
# A bug that is not found within so many points is not found.
PATIENCE = 60


def main(options, run_class, remote_class):
    binaries = options.binaries or build(["seeded-bugs"], ROOT / "target" / "seeded-bugs",
                                         example=True)
    if options.bug:
        kind = remote_class if options.remote or options.bug in BY_KILL_OF_ONE else run_class
        run = by_kill(options, kind, binaries, options.bug, options.points, ("any",))
        run.report()
        return 1 if run.failed else 0
    passed, failed = 0, 0
    # The same program without a bug must not be accused.
    verdicts = [none(options, it, binaries) for it in (run_class, remote_class)]
    for bug, expected in BY_KILL.items():
        verdicts.append(kill_verdict(options, run_class, binaries, bug, expected))
    for bug, expected in BY_KILL_OF_ONE.items():
        verdicts.append(kill_verdict(options, remote_class, binaries, bug, expected))
    verdicts += [trace_verdict(binaries, bug) for bug in BY_TRACE]
    for found, line in verdicts:
        passed, failed = passed + found, failed + (not found)
        print(f"{'ok  ' if found else 'FAIL'} {line}")
    print(f"{passed} passed, {failed} failed", flush=True)
    return 1 if failed else 0


def by_kill(options, run_class, binaries, bug, points, expected):
    own = argparse.Namespace(**{**vars(options), "archive_every": 1, "sigterm": 0.0,
                                "until_found": expected})
    own.seed = random.Random(f"{options.seed} {bug}").randrange(2**32)
    run = run_class(own, binaries, {"ROOKERY_SEED_BUG": bug})
    run.go(points)
    return run


def none(options, run_class, binaries):
    run = by_kill(options, run_class, binaries, "none", 10, ("any",))
    if not run.complaints:
        run.discard()
    return not run.complaints, f"no bug: {run.passed} points passed, {run.failed} failed"


def kill_verdict(options, run_class, binaries, bug, expected):
    print(f"-- {bug}", flush=True)
    run = by_kill(options, run_class, binaries, bug, PATIENCE, expected)
    named = {line.split(": ", 1)[1].split()[0] for line in run.complaints}
    found = bool(named & set(expected))
    run.discard()
    return found, f"{bug}: {', '.join(sorted(named)) or 'not found'} after {run.point} points"


def trace_verdict(binaries, bug):
    print(f"-- {bug} (scripts/durability)", flush=True)
    done = subprocess.run([str(ROOT / "scripts/durability"), "--binary", str(binaries / "rookery"),
                           "--bug", bug], capture_output=True, text=True, check=False)
    lines = done.stdout.splitlines()
    failures = [line for line in lines if line.startswith("FAIL")]
    found = done.returncode == 1 and bool(failures)
    return found, f"{bug}: {len(failures)} of {len(lines) - 1} kinds (scripts/durability)"
