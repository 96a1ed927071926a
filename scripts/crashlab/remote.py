"""Two servers, each at a loopback address of its own, and kills of either: the run and its
points."""

import asyncio
import os
import signal
from pathlib import Path

from .abroad import Abroad
from .crossing import Crossing
from .run import DRAIN_BOUND, START_BOUND, Run
from .server import DOMAINS, Peer


class Two:
    """Both servers."""

    has_boards = False

    def __init__(self, binary, work, environment=None):
        self.work = Path(work)
        self.work.mkdir(parents=True, exist_ok=True)
        self.peers = {domain: Peer(binary, self.work / domain, domain, environment)
                      for domain in DOMAINS}
        for peer in self.peers.values():
            peer.knows({it.domain: f"{it.address}:{it.s2s}" for it in self.peers.values()
                        if it is not peer})

    def kill(self):
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
        await self.rise(domains)

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
