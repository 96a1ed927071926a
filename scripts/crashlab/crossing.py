"""The load of two servers: most of what is said goes from one to the other."""

import asyncio

from . import pairs
from .load import Load


class Crossing(Load):
    """Goes on while one of them is down."""

    def __init__(self, world):
        super().__init__(world)
        self.coming = set()

    def start(self):
        self.running = True
        loop = asyncio.get_running_loop()
        for account in self.world.accounts:
            for work in self.works(account):
                self.tasks.append(loop.create_task(work))
        self.tasks.append(loop.create_task(self.pairs()))

    async def stop(self):
        await super().stop()
        # Half a login is nobody's.
        await asyncio.gather(*self.coming, return_exceptions=True)

    async def connect(self, account, resume):
        coming = asyncio.ensure_future(super().connect(account, resume))
        self.coming.add(coming)
        return await asyncio.shield(coming)

    def step(self, account, client):
        world, choice = self.world, self.rng.random()
        if choice < 0.85:
            far = self.rng.random() < 0.75
            self.write(account, client, self.rng.choice(
                [it for it in world.accounts
                 if it is not account and (it.domain != account.domain) == far]))
        elif choice < 0.92:
            show = self.rng.choice(("away", "chat", "dnd", "xa"))
            world.send(client, f"<presence><show>{show}</show></presence>")
        else:
            other = self.rng.choice(world.accounts)
            world.send(client, f"<message type='chat' to='{other.jid}'><composing "
                               "xmlns='http://jabber.org/protocol/chatstates'/></message>")

    async def pairs(self):
        """One operation of a pair from one look to the next: what a server says again after later
        words would undo them."""
        world, rng = self.world, self.rng
        while self.running:
            await asyncio.sleep(rng.expovariate(1 / 0.05))
            pair = rng.choice(world.pairs)
            if pair.doing:
                continue
            asked = pair.asker.jid in pair.asked.requests
            answers = ["subscribed", "subscribed", "unsubscribed"] if asked else []
            what = rng.choice({
                "none": ["subscribe"],
                "asked": ["unsubscribe"] + answers,
                "to": ["unsubscribe", "unsubscribed"],
            }[pair.state])
            if pairs.send(world, pair, what):
                pair.done.append(f"{what} {world.life}")
