"""The accounts of two servers that write to each other, and what is looked at when they have found
each other again: whatever a server acknowledged to its own client has reached the other one, in
both archives, in order."""

import asyncio
import time

from . import archive, holdings, pairs
from .client import C
from .model import Pair
from .world import World

# Like those of `world.py`, each role on both sides.
ROLES = tuple((f"{role}{side}{number}", side, role)
              for role, many in (("sm", 3), ("sleep", 2), ("offline", 2), ("flap", 1))
              for side in (0, 1) for number in range(1, many + 1))
# Until all that was under way has arrived, in seconds: a server is called again soon.
PATIENCE = 30


class Abroad(World):
    """One pair of data folders' worth of knowledge. A life ends with every kill, of whomever."""

    roles = ROLES
    hears_withdrawals = True

    def __init__(self, server, rng, history_path, complain):
        super().__init__(server, rng, history_path, complain)
        # domains whose server stopped in order, so that every session is there
        self.in_order_of = set()
        # whose archive has which message twice
        self.doubled = set()

    def place(self, domain):
        peer = self.server.peers[domain]
        return peer.address, peer.port

    def couples(self):
        askers = [it for it in self.accounts if it.role == "sm"]
        asked = askers + [it for it in self.accounts if it.role == "offline"]
        return (Pair(a, b) for a in askers for b in asked if a.domain != b.domain)

    @staticmethod
    def is_far(message):
        return message.sender.domain != message.recipient.domain

    # -- what comes in

    def received(self, account, client, element):
        kind = element.get("type")
        if element.tag == C + "presence" and kind in Pair.AFTER:
            asker = element.get("from")
            self.history.note("info", op=kind, at=client.jid, of=asker)
            if kind == "unsubscribe":
                account.requests.discard(asker)
                account.again.discard(asker)
            elif kind == "subscribe" and asker in account.answered:
                # A server asks again when its user comes (RFC 6121 §3.1.2); the answer was on its
                # way. Of the next request nobody will tell: this one still stands.
                account.again.add(asker)
        super().received(account, client, element)

    def twice(self, message, where):
        self.again(message, "delivered twice across servers",
                   lambda: World.twice(self, message, where))

    def filed_twice(self, account, message):
        # Each page may be read again.
        if (account.jid, message.mid) in self.doubled:
            return
        self.doubled.add((account.jid, message.mid))
        self.again(message, "in one archive twice across servers",
                   lambda: World.filed_twice(self, account, message))

    def again(self, message, what, complain):
        """Between servers the line may break before the second has said what it has."""
        if self.is_far(message):
            self.counts[what] += 1
        if self.strict or not self.is_far(message):
            complain()

    def in_order(self, account, client, message, where):
        # What comes for the second time comes late.
        if not (message.seen and self.is_far(message)):
            super().in_order(account, client, message, where)

    # -- after a kill

    async def leave_dead_of(self, domain):
        """One server is gone."""
        for account in self.accounts:
            if account.domain == domain:
                await self.leave_one(account)
        self.life += 1

    async def leave_one(self, account):
        """What its clients were still sent is read, then they are without a line."""
        clients = list(account.clients.values())
        if waits := [client.closed for client in clients]:
            await asyncio.wait(waits, timeout=5)
        for client in clients:
            client.abort()
            self.fall_asleep(account, client.resource)

    async def tidy(self):
        """The load ended in the middle of what a client did: what broke is broken."""
        for account in self.accounts:
            for client in list(account.clients.values()):
                if client.left or client.closed.done() or client.transport.is_closing():
                    client.abort()
                    account.stretch += 1
                    await self.leave_one(account)

    async def look(self):
        """Everybody comes, and all that is under way arrives."""
        await self.tidy()
        self.absent = {account for account in self.accounts if account.role == "sleep"
                       and account.asleep and not self.last_look and self.rng.random() < 0.25}
        there = [account for account in self.accounts if account not in self.absent]
        await asyncio.gather(*(self.go_on(account) for account in there))
        await asyncio.gather(*(self.come(account) for account in there))
        self.in_order_of.clear()
        await self.arrive(there)
        await self.agree(there)
        for account in there:
            if account.role == "offline":
                for client in list(account.clients.values()):
                    await client.close()
                account.clients.clear()

    async def go_on(self, account):
        """Most of those whose line broke resume, and all whose server stopped in order; what they
        send again is handled before anybody comes anew."""
        orderly = account.domain in self.in_order_of
        if "r" not in account.asleep or not (orderly or self.rng.random() < self.resumes):
            return
        client = await self.connect(account, "r", True, resume=True)
        if client.resumed:
            await self.settle(client)
        elif orderly:
            self.complain("B29", f"{client.jid}: not resumed after SIGTERM")

    async def come(self, account):
        """It is there, and all it said is taken."""
        client = self.main_client(account)
        if client is None:
            client = await self.connect(account, "r", True)
        if not client.present:
            # It is told all that waits.
            account.requests.clear()
            account.again.clear()
            account.answered = pairs.withdrawn(self, account)
            # Of who withdraws a request those hear who follow the roster (RFC 6121 §3.3.3).
            await holdings.contacts(self, account, client)
            client.stanza("<presence/>")
        await client.get("<ping xmlns='urn:xmpp:ping'/>", account.jid)
        self.is_there(client)
        self.answer(client)
        await self.settle(client)

    async def arrive(self, there):
        """I1, I4: what one archive has the other gets, and who is there gets it himself."""
        until = time.monotonic() + PATIENCE
        whole = self.last_look
        while True:
            # Two archives at once are as many as a server reads for one account.
            await asyncio.gather(*(archive.fetch(self, it, self.main_client(it), whole)
                                   for it in there))
            whole = False
            due = [it for it in self.messages.values() if not it.filed
                   and not self.absent & {it.sender, it.recipient}]
            late = [(it, why) for it in due if (why := self.lacks(it))]
            if not late or time.monotonic() > until:
                break
            await asyncio.sleep(0.1)
        for message in due:
            message.filed = True
        for message, (invariant, why) in late:
            self.counts["acknowledged messages that never came"] += invariant == "I1"
            self.complain(invariant, f"{message.mid} {message.sender.jid} -> "
                                     f"{message.recipient.jid} (life {message.life}, now "
                                     f"{self.life}): {why}")

    @staticmethod
    def lacks(message):
        """What is not as it must be: (invariant, words), or None."""
        if message.refused:
            # What is for no archive need not wait for a server that is away.
            return ("I1", "refused") if message.place == 1 else None
        sent = (message.mid, True) in message.sender.archive.rows
        got = (message.mid, False) in message.recipient.archive.rows
        if message.acked and message.place == 1 and not (sent and got):
            return "I1", f"acknowledged, in the sender's archive {sent}, in the recipient's {got}"
        if message.place == 1 and sent != got:
            return "I4", f"in the sender's archive {sent}, in the recipient's {got}"
        if message.acked and not message.seen and (message.place == 1 or not Abroad.is_far(message)):
            return "I1", f"acknowledged and never delivered ({message.recipient.role})"
        return None

    # -- subscriptions

    async def agree(self, there):
        """I6, I7: both sides of every pair agree, with what was acknowledged and each other."""
        until = time.monotonic() + PATIENCE
        while True:
            await asyncio.gather(*(holdings.contacts(self, it, self.main_client(it))
                                   for it in there))
            for pair in self.pairs:
                if pairs.side_of_asker(pair) == "asked" and pair.asker.jid in pair.asked.again:
                    pair.asked.requests.add(pair.asker.jid)
            sides = [(it, pairs.side_of_asker(it), pairs.side_of_asked(it)) for it in self.pairs]
            apart = [(it, own, others) for it, own, others in sides
                     if own != others or own not in it.possible()]
            if not apart or time.monotonic() > until:
                break
            await asyncio.sleep(0.1)
        for pair, own, _ in sides:
            self.counts["subscriptions across servers"] += pair.doing is not None
            pair.state, pair.doing = own, None
        for pair, own, others in apart:
            self.complain("I7" if own != others else "I6",
                          f"subscription {pair.asker.jid} -> {pair.asked.jid}: {own} / {others}, "
                          f"{[it.rsplit(' ', 1)[0] for it in pair.done][-6:]}")
            for what in ("unsubscribe", "unsubscribed"):
                pairs.send(self, pair, what)
            pair.state, pair.doing = "none", None
