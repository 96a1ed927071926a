"""What was tried, and how it ended: one line a check."""

import asyncio
import time
import traceback

from server import PATIENCE


class Waiting(Exception):
    """The server does not do this yet; what it lacks."""


class Score:
    def __init__(self, verbose):
        self.counts = {"passed": 0, "waiting": 0, "failed": 0}
        self.verbose = verbose

    def tell(self, outcome, line):
        self.counts[outcome] += 1
        print(f"{outcome.upper() if outcome == 'failed' else outcome:7} {line}", flush=True)

    def note(self, line):
        if self.verbose:
            print(f"        {line}", flush=True)

    async def run(self, name, work):
        started = time.monotonic()
        try:
            note = await asyncio.wait_for(work, 8 * PATIENCE)
        except Waiting as what:
            self.tell("waiting", f"{name}: {what}")
        except Exception as error:
            self.tell("failed", f"{name}: {type(error).__name__}: {error}")
            if self.verbose:
                traceback.print_exc()
        else:
            took = time.monotonic() - started
            self.tell("passed", f"{name}{f' ({note})' if note else ''}  {took:.1f} s")
