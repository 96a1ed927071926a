"""The load: what each account does while the server runs."""

import asyncio
import hashlib
from xml.sax.saxutils import escape

from . import archive, boards, guests, holdings, nodes, pairs
from .client import Lost, Refused, attr
from .model import Message

ALPHABET = "abcdefghijklmnopqrstuvwxyz ABCDEFGH 0123456789 <>&'\" äöüß 漢字 \U0001f99c\n"
# Roles that can be written to by a full address, and their resources.
ADDRESSED = {"sm": ("r",), "flap": ("r",), "sleep": ("r",), "pair": ("r", "s")}


class Load:
    """Runs until `stop`."""

    def __init__(self, world):
        self.world, self.rng = world, world.rng
        self.tasks = []
        self.running = False

    def start(self):
        self.running = True
        world = self.world
        loop = asyncio.get_running_loop()
        for account in world.accounts:
            for work in self.works(account):
                self.tasks.append(loop.create_task(work))
        self.tasks.append(loop.create_task(self.pairs()))
        self.tasks.append(loop.create_task(guests.come_and_go(world, lambda: self.running)))
        for account in world.accounts:
            if account.role in ("sm", "pair") and self.rng.random() < 0.25:
                loop.call_later(self.rng.random(), self.stall, account)

    def works(self, account):
        client = self.world.main_client(account)
        if account.role == "flap":
            return [self.flap(account)]
        if client is None:
            return []
        if account.role == "sleep":
            return [self.doze(account, client)]
        if account.role == "pair":
            return [self.drive(account, it) for it in account.clients.values()]
        return [self.drive(account, client)]

    def stall(self, account):
        """From now on this one reads nothing."""
        streams = [it for it in account.clients.values() if it.managed]
        if self.running and streams:
            client = self.rng.choice(streams)
            self.world.stalled.add(client)
            client.transport.pause_reading()

    async def stop(self):
        self.running = False
        for task in self.tasks:
            task.cancel()
        for done in await asyncio.gather(*self.tasks, return_exceptions=True):
            if isinstance(done, Exception) and not isinstance(done, (Lost, Refused)):
                raise done
        self.tasks.clear()

    # -- one account

    async def drive(self, account, client):
        """Operates until the stream ends. Only the end of the server may end it."""
        while self.running and not client.closed.done():
            self.step(account, client)
            if client.managed and self.rng.random() < 0.35:
                client.request()
            await asyncio.sleep(self.rng.expovariate(1 / 0.012))
            while client.managed and client.sent - client.last_h > 60 and self.running:
                client.request()
                await asyncio.sleep(0.02)
                if client.closed.done():
                    break

    async def flap(self, account):
        """Comes and goes, in order or not, and operates meanwhile."""
        world, rng = self.world, self.rng
        client = world.main_client(account)
        while self.running:
            if client is None:
                client = await self.connect(account, rng.random() < world.resumes)
                if not client.present:
                    client.stanza("<presence/>")
            await self.drive_for(rng.uniform(0.05, 0.8), account, client)
            if client.closed.done():
                return
            if rng.random() < 0.5:
                await client.close()
                world.fall_asleep(account, "r")
            else:
                await self.break_line(account, client)
            client = None
            await asyncio.sleep(rng.uniform(0, 0.2))

    async def connect(self, account, resume):
        return await self.world.connect(account, "r", True, resume)

    async def doze(self, account, client):
        """The line breaks; from then on the session hibernates."""
        await self.drive_for(self.rng.uniform(0, 0.6), account, client)
        if not client.closed.done():
            await self.break_line(account, client)

    async def drive_for(self, seconds, account, client):
        driving = asyncio.get_running_loop().create_task(self.drive(account, client))
        try:
            await asyncio.sleep(seconds)
        finally:
            driving.cancel()

    async def break_line(self, account, client):
        client.transport.pause_reading()
        try:
            await asyncio.sleep(self.rng.uniform(0, 0.1))
        finally:
            client.abort()
        account.stretch += 1
        self.world.fall_asleep(account, client.resource)

    def step(self, account, client):
        world, choice = self.world, self.rng.random()
        if account.role == "board" and self.rng.random() < 0.5:
            return boards.step(world, account, client)
        if account.joined and self.rng.random() < 0.04:
            return boards.join_or_leave(world, account, client)
        # Who breaks lines, or has two, knows nothing of the order of what he asked for on them.
        if account.role == "flap" or (account.role == "pair" and client.resource != "r"):
            choice = choice if choice > 0.89 else 0
        if choice < 0.66:
            self.chat(account, client)
        elif choice < 0.71:
            holdings.roster(world, account, client)
        elif choice < 0.75:
            holdings.block(world, account, client)
        elif choice < 0.78:
            holdings.private(world, account, client)
        elif choice < 0.80:
            holdings.card(world, account, client)
        elif choice < 0.85:
            nodes.note(world, account, client)
        elif choice < 0.88:
            nodes.bookmark(world, account, client)
        elif choice < 0.89 and account.role == "plain":
            holdings.password(world, account, client)
        elif choice < 0.94:
            show = self.rng.choice(("away", "chat", "dnd", "xa"))
            world.send(client, f"<presence><show>{show}</show></presence>")
        elif choice < 0.96:
            client.ask("get", "<ping xmlns='urn:xmpp:ping'/>", account.domain)
        elif choice < 0.98:
            archive.browse(world, account, client)
        else:
            other = self.rng.choice(world.accounts)
            world.send(client, f"<message type='chat' to={attr(other.jid)}><composing "
                               "xmlns='http://jabber.org/protocol/chatstates'/></message>")

    def chat(self, account, client):
        recipient = self.rng.choice([it for it in self.world.accounts if it is not account])
        self.write(account, client, recipient)

    def write(self, account, client, recipient):
        world, rng = self.world, self.rng
        account.sent += 1
        mid = f"{account.name}-{account.sent:05}"
        size = rng.choice((20, 40, 80, 80, 200, 200, 600, 5_000)) if rng.random() < 0.97 else 30_000
        body = mid + " " + "".join(rng.choices(ALPHABET, k=size))
        waiting = recipient.role == "offline" and rng.random() < 0.15
        message = Message(mid, account.sent, account, recipient,
                          hashlib.sha256(body.encode()).hexdigest(), world.life,
                          2 if waiting else 1, client.resource, account.stretch)
        # What is for no archive does not wait on its way to another server.
        message.ordered = not (waiting and world.is_far(message))
        world.messages[mid] = message
        to, kind = recipient.jid, "chat" if rng.random() < 0.9 else "normal"
        if recipient.role in ADDRESSED and rng.random() < 0.3:
            # A chat message: any other is refused where nobody is (RFC 6121 §8.5.3.2.2).
            resource = rng.choice(ADDRESSED[recipient.role])
            to, kind = f"{to}/{resource}", "chat"
            # It reaches a device that is not available yet, before what waits for its presence.
            device = recipient.clients.get(resource) or recipient.asleep.get(resource)
            available = device is not None and device.since < float("inf")
            message.ordered = recipient.role != "flap" and available \
                and not world.is_far(message)
        hint = "<no-permanent-store xmlns='urn:xmpp:hints'/>" if waiting else ""
        world.history.note("invoke", op=mid, by=client.jid, to=to, sha=message.sha,
                           size=len(body))

        def done():
            message.acked = True
            world.counts["acknowledged messages"] += 1
            world.history.note("ok", op=mid)

        world.send(client, f"<message type='{kind}' id='{mid}' to={attr(to)}>"
                           f"<body>{escape(body)}</body>{hint}</message>", done, message)
        world.counts["messages"] += 1

    async def pairs(self):
        while self.running:
            await asyncio.sleep(self.rng.expovariate(1 / 0.03))
            pairs.step(self.world)
