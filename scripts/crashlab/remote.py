"""Two servers, each at a loopback address of its own, a line between them that may break, and kills
of either: the run and its points."""

import asyncio
import os
import random
import signal
from pathlib import Path

from .abroad import Abroad
from .client import Lost, Refused
from .crossing import Crossing
from .run import DRAIN_BOUND, START_BOUND, Run
from .server import DOMAINS, Failed, Peer
from .wires import Wire


class Two:
    """Both servers."""

    has_boards = False

    def __init__(self, binary, work, environment=None):
        self.work = Path(work)
        self.work.mkdir(parents=True, exist_ok=True)
        self.peers = {domain: Peer(binary, self.work / domain, domain, environment)
                      for domain in DOMAINS}
        # domain -> the line on which the other one reaches it
        self.wires = {}

    async def connect(self, rng, counts):
        for domain, peer in self.peers.items():
            self.wires[domain] = Wire(rng, counts, (peer.address, peer.s2s))
            await self.wires[domain].hang("127.0.0.1")
        for peer in self.peers.values():
            peer.knows({domain: wire.place for domain, wire in self.wires.items()
                        if domain != peer.domain})

    def roughen(self, rough):
        """Whether lines break, stop and trickle."""
        for wire in self.wires.values():
            wire.rough = rough

    def kill(self):
        for wire in self.wires.values():
            wire.take_down()
        for peer in self.peers.values():
            peer.kill()

    def last_words(self):
        return " || ".join(it.last_words() for it in self.peers.values())


class Remote(Run):
    """Points of two servers."""

    async def begin(self):
        self.begun += 1
        folder = self.work / f"data-{self.begun}"
        self.server = Two(self.binaries / "rookery", folder, self.environment)
        self.world = Abroad(self.server, self.rng, folder / "history.jsonl", self.complain)
        self.world.resumes = self.options.resume
        self.world.strict = self.options.once
        # Not of `self.rng`, which `--seed` repeats as far as nobody else takes from it.
        await self.server.connect(random.Random(self.rng.random()), self.world.counts)
        await self.rise(DOMAINS)
        await self.world.create_accounts()

    async def rise(self, domains):
        for domain in domains:
            self.server.peers[domain].launch()
        for domain in domains:
            took = await self.server.peers[domain].ready()
            self.starts.append(took)
            if took > START_BOUND:
                self.complain("I10", f"{domain} started in {took:.1f} s")

    async def look(self):
        await self.world.look()

    async def one(self):
        """Look, load, and in the middle of it one server ends, or both, once or more often."""
        rng = self.rng
        await self.look()
        load = Crossing(self.world)
        load.start()
        self.server.roughen(rng.random() < self.options.rough)
        await asyncio.sleep(rng.uniform(0.05, 1.5))
        while True:
            await self.fall()
            # Into the middle of what one says to the other when it is back.
            if rng.random() < 0.6:
                break
            await asyncio.sleep(rng.uniform(0, 0.6))
        if rng.random() < 0.5:
            await asyncio.sleep(rng.uniform(0, 0.6))
        await load.stop()
        self.server.roughen(False)
        self.world.history.note("info", op="end", point=self.point)

    async def fall(self):
        """One or both end, and come again. Meanwhile the other goes on."""
        rng = self.rng
        domains = rng.choice(((DOMAINS[0],), (DOMAINS[1],), DOMAINS, DOMAINS[::-1]))
        for domain in domains:
            in_order = rng.random() < self.options.sigterm
            if in_order:
                await self.terminate(domain)
            else:
                self.end(domain)
            await self.world.leave_dead_of(domain)
            await asyncio.sleep(rng.choice((0, rng.uniform(0, 0.6))))
        if self.options.calls:
            await self.doomed(rng.choice(domains))
        await self.rise(domains)

    async def doomed(self, domain):
        """Starts one that dies before some system call, while its clients come back and the other
        server says again what it had not heard of."""
        peer, world = self.server.peers[domain], self.world
        peer.wrapper = self.doom()
        peer.launch()
        try:
            await peer.ready()
            coming = asyncio.gather(*(world.go_on(it) for it in world.accounts
                                      if it.domain == domain), return_exceptions=True)
            end = asyncio.get_running_loop().time() + self.rng.uniform(0.3, 3)
            while peer.is_up() and asyncio.get_running_loop().time() < end:
                await asyncio.sleep(0.01)
            world.counts["kills before a call"] += not peer.is_up()
            self.end(domain)
            for error in await coming:
                if error and not isinstance(error, (Lost, Refused, asyncio.TimeoutError)):
                    raise error
        except Failed:
            world.counts["kills before a call, during start"] += 1
            self.end(domain)
        peer.wrapper = []
        await world.leave_dead_of(domain)

    def end(self, domain):
        self.server.peers[domain].kill()
        self.world.over()
        self.world.in_order_of.discard(domain)
        self.world.counts["kills of one of two servers"] += 1
        self.world.history.note("info", op="kill", of=domain, life=self.world.life)

    async def terminate(self, domain):
        """SIGTERM, and sometimes a kill in the middle of what it does then."""
        peer = self.server.peers[domain]
        if self.rng.random() < 0.3:
            os.kill(peer.pid(), signal.SIGTERM)
            await asyncio.sleep(self.rng.uniform(0, 0.3))
            return self.end(domain)
        took, code = await peer.terminate()
        self.world.over()
        self.world.in_order_of.add(domain)
        self.world.counts["one of two servers stopped in order"] += 1
        self.world.history.note("info", op="stopped", of=domain, life=self.world.life)
        self.drains.append(took)
        if code != 0 or took >= DRAIN_BOUND:
            self.complain("B29", f"{domain}: SIGTERM: exit code {code} after {took:.1f} s")
