"""A run: points on fresh data every so often, each of them load, the end of the server, and a look
at what it kept."""

import asyncio
import os
import random
import shutil
import signal
import sys
import tempfile
from collections import Counter
from pathlib import Path

from . import others, store, tally, verify
from .client import Lost, Refused
from .load import Load
from .server import Failed, Server
from .world import World

CYCLES = 20
# With --calls: before which call, and before at most which of them.
CALLS = {"fdatasync": 100, "pwrite64": 100, "fsync": 12, "rename": 4, "unlink": 3,
         "openat": 30, "ftruncate": 2, "sync_file_range": 4,
         # The wire: read and not yet parsed, committed and not yet told or delivered.
         "recvfrom": 400, "sendto": 300, "writev": 300, "accept4": 12}
START_BOUND = 5.0
DRAIN_BOUND = 10.0


class Run:
    """Points on fresh data every `CYCLES`."""

    def __init__(self, options, binaries, environment=None):
        self.options, self.binaries, self.environment = options, binaries, environment
        self.rng = random.Random(options.seed)
        self.work = Path(tempfile.mkdtemp(prefix="rookery-crash-"))
        self.point, self.begun = 0, 0
        self.interrupted = False
        self.passed, self.failed = 0, 0
        self.complaints = []
        self.fresh = []
        self.counts = Counter()
        self.starts, self.drains = [], []
        self.server = self.world = None

    def complain(self, invariant, text):
        line = f"point {self.point}: {invariant} {text}"
        self.fresh.append(line)
        if len(self.fresh) <= 20 and (self.options.server == "rookery" or self.options.verbose):
            print(line, flush=True)

    async def begin(self):
        """A server and accounts on an empty data folder."""
        # A point that failed at once begins again.
        self.begun += 1
        folder = self.work / f"data-{self.begun}"
        if self.options.server == "rookery":
            self.server = Server(self.binaries / "rookery", folder, self.environment)
        else:
            self.server = others.OTHERS[self.options.server](folder)
        self.world = World(self.server, self.rng, folder / "history.jsonl", self.complain)
        self.world.resumes = self.options.resume
        await self.start()
        await self.world.create_accounts()

    async def start(self, doomed=False):
        """Until it is ready. A doomed one is killed before some system call, perhaps at once."""
        while True:
            self.server.wrapper = self.doom() if doomed else []
            self.server.launch()
            try:
                took = await self.server.ready()
                break
            except Failed:
                if not doomed:
                    raise
                self.world.counts["kills during start and login"] += 1
                doomed = self.rng.random() < 0.5
        self.starts.append(took)
        if took > START_BOUND:
            self.complain("I10", f"started in {took:.1f} s")

    def doom(self):
        """What kills the server before some call."""
        call = self.rng.choice(list(CALLS))
        number = self.rng.randint(1, CALLS[call])
        self.world.history.note("info", op="doom", call=call, number=number)
        return ["strace", "-f", "-o", "/dev/null", "-e", f"trace={call}",
                "-e", f"inject={call}:signal=KILL:when={number}"]

    async def look(self):
        """Everything the clients see. One that was doomed may die meanwhile."""
        while True:
            try:
                await verify.log_in(self.world)
                return verify.messages(self.world)
            except (Lost, Refused):
                self.server.wait_briefly()
                if not self.server.wrapper or self.server.is_up():
                    raise
            self.world.over()
            self.world.counts["kills during start and login"] += 1
            await self.world.leave_dead()
            await self.start(doomed=self.rng.random() < 0.5)

    async def one(self):
        """Verify, load, end: one point. The server runs before and after."""
        world, rng = self.world, self.rng
        await self.look()
        world.drained = False
        load = Load(world)
        load.start()
        end = asyncio.get_running_loop().time() + rng.uniform(0.05, 2.0)
        while asyncio.get_running_loop().time() < end and self.server.is_up():
            await asyncio.sleep(0.01)
        if self.server.wrapper:
            world.counts["kills before a call under load"] += not self.server.is_up()
        in_order = rng.random() < self.options.sigterm
        if in_order:
            await self.terminate(load)
        else:
            self.server.kill()
            world.over()
            await load.stop()
            await world.leave_dead()
        world.history.note("info", op="end", point=self.point)
        every = self.options.archive_every
        if every and self.options.server == "rookery" and self.point % every == 0:
            store.look(world, self.binaries / "examples/store_dump", self.point % CYCLES == 0)
        await self.start(doomed=self.options.calls)
        if not in_order and not self.options.calls and rng.random() < 0.2:
            await self.kill_early()

    async def kill_early(self):
        """Kills what has just started, and sometimes that again: recovery and first logins."""
        while True:
            visiting = asyncio.ensure_future(verify.log_in(self.world))
            await asyncio.wait({visiting}, timeout=self.rng.uniform(0, 0.25))
            self.server.kill()
            self.world.over()
            self.world.counts["kills during start and login"] += 1
            visiting.cancel()
            try:
                await visiting
            except (asyncio.CancelledError, Lost, Refused):
                pass
            await self.world.leave_dead()
            await self.start()
            if self.rng.random() < 0.6:
                return

    async def terminate(self, load):
        world = self.world
        if self.rng.random() < 0.3:
            # Killed in the middle of the drain: what holds is the same as for any kill.
            os.kill(self.server.pid(), signal.SIGTERM)
            await asyncio.sleep(self.rng.uniform(0, 0.08))
            world.counts["kills while it drained"] += self.server.is_up()
            self.server.kill()
            world.over()
            await load.stop()
            return await world.leave_dead()
        took, code = await self.server.terminate()
        world.over()
        world.drained = True
        await load.stop()
        clients = [it for it in world.everybody() if it not in world.stalled]
        await world.leave_dead()
        self.drains.append(took)
        if code != 0 or took >= DRAIN_BOUND:
            self.complain("B29", f"SIGTERM: exit code {code} after {took:.1f} s")
        for client in clients:
            if client.error != "system-shutdown" and not client.left:
                self.complain("B29", f"{client.jid}: ended with {client.error}")

    def go(self, points):
        """All points; whatever happens, no server is left running."""
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        signal.signal(signal.SIGINT, self.interrupt)
        try:
            asyncio.run(self.run(points))
        finally:
            if self.server:
                self.server.kill()

    def interrupt(self, *_):
        """After this point it reports; told again it ends at once."""
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        self.interrupted = True

    async def run(self, points):
        for self.point in range(1, points + 1):
            self.fresh = []
            try:
                if (self.point - 1) % CYCLES == 0:
                    self.finish_data()
                    await self.begin()
                await self.one()
                if self.point % CYCLES == 0 or self.point == points:
                    # The last kill of this data is looked at too.
                    self.world.last_look = True
                    await self.look()
            except (Failed, Lost, Refused, asyncio.TimeoutError) as error:
                self.complain("I10", f"{type(error).__name__}: {error} "
                                     f"[{self.server.last_words()}]")
                self.finish_data()
                if self.point < points:
                    await self.begin()
            self.passed, self.failed = self.passed + (not self.fresh), \
                self.failed + bool(self.fresh)
            self.complaints += self.fresh
            if self.is_found() or self.interrupted:
                break
            if self.point % 25 == 0 and self.options.verbose:
                print(f"… {self.point} points", flush=True)
        self.finish_data()

    def is_found(self):
        """Whether one of the invariants is violated that `until_found` names, or "any"."""
        named = {line.split(": ", 1)[1].split()[0] for line in self.complaints}
        wanted = set(self.options.until_found)
        return bool(named & wanted or (named and "any" in wanted))

    def finish_data(self):
        if self.server:
            for client in self.world.everybody():
                client.abort()
            self.server.kill()
            self.world.history.flush()
            self.counts += self.world.counts
            if not self.complaints and not self.fresh:
                shutil.rmtree(self.server.work, ignore_errors=True)
        self.server = None

    def discard(self):
        shutil.rmtree(self.work, ignore_errors=True)

    def report_on_another(self):
        tally.show(f"{self.options.server} {others.version(self.options.server)}",
                   self.passed + self.failed, self.counts, self.complaints)
        self.discard()

    def report(self):
        for name, count in sorted(self.counts.items()):
            print(f"  {count:8} {name}")
        if self.starts:
            print(f"  ready in {max(self.starts):.2f} s at most, "
                  f"{sorted(self.starts)[len(self.starts) // 2]:.3f} s in the median")
        if self.drains:
            print(f"  drained in {max(self.drains):.2f} s at most")
        if self.complaints:
            print(f"  {len(self.complaints)} violations; history and data: {self.work}")
        else:
            shutil.rmtree(self.work, ignore_errors=True)
        tally.show("in short", self.passed + self.failed, self.counts, self.complaints)
        print(f"{self.passed} passed, {self.failed} failed", flush=True)
