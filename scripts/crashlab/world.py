"""The accounts of a run, their streams, and what comes in on them."""

import asyncio
import hashlib
import time
from collections import Counter

from . import archive, boards, copies
from .client import C, Client, Lost, Refused, condition
from .model import Account, History, Pair, Subject
from .server import DOMAINS

# name, domain, role. sm: online with XEP-0198. plain: online without. two: two resources, one
# with and one without. pair: two with, and with copies of each other's messages (XEP-0280).
# sleep: hibernates when the server ends. offline: comes only to fetch. flap: with XEP-0198,
# comes and goes. board: online with XEP-0198, publishes at the service of its domain (XEP-0060).
ROLES = (
    ("sm1", 0, "sm"), ("sm2", 0, "sm"), ("sm3", 1, "sm"), ("sm4", 1, "sm"),
    ("plain1", 0, "plain"), ("plain2", 1, "plain"),
    ("two1", 0, "two"), ("two2", 1, "two"),
    ("pair1", 0, "pair"), ("pair2", 1, "pair"),
    ("sleep1", 0, "sleep"), ("sleep2", 1, "sleep"), ("sleep3", 1, "sleep"),
    ("away1", 0, "offline"), ("away2", 0, "offline"), ("away3", 1, "offline"),
    ("flap1", 0, "flap"), ("flap2", 1, "flap"),
    ("board1", 0, "board"), ("board2", 1, "board"),
)
# A delivery acknowledged this long before a kill must not come again.
FORGIVEN = 1.5


class World:
    """One data folder's worth of knowledge."""

    roles = ROLES
    # Nor may anything come twice because a server did not hear that another had it.
    strict = False
    # A request for presence is gone when that is heard, not when it is said.
    hears_withdrawals = False

    def __init__(self, server, rng, history_path, complain):
        self.server, self.rng = server, rng
        self.history = History(history_path)
        self.complain = complain
        self.life = 0
        # How many of the sessions whose line broke are resumed.
        self.resumes = 0.7
        # the last life ended in order: every session is there
        self.drained = False
        # accounts whose session sleeps on through this life
        self.absent = set()
        # nobody comes after this look
        self.last_look = False
        # life -> when it ended
        self.ended = {}
        self.messages = {}
        self.stalled = set()
        self.counts = Counter()
        roles = [it for it in self.roles if server.has_boards or it[2] != "board"]
        self.accounts = [Account(name, DOMAINS[at], role) for name, at, role in roles]
        self.by_jid = {account.jid: account for account in self.accounts}
        self.guests = {}
        for account in self.accounts if server.has_boards else ():
            if account.role == "sm":
                account.joined = {domain: Subject(f"{account.jid} at {domain}", False)
                                  for domain in DOMAINS}
        self.pairs = list(self.couples())
        rng.shuffle(self.pairs)
        self.pairs = self.pairs[:24]

    def couples(self):
        """Who may ask whom for his presence."""
        steady = [it for it in self.accounts if it.role in ("sm", "two")]
        away = [it for it in self.accounts if it.role == "offline"]
        return (Pair(a, b) for a in steady for b in steady + away if a is not b)

    def place(self, _):
        """Where a domain is served."""
        return self.server.address, self.server.port

    # -- coming and going

    async def create_accounts(self):
        async def create(account):
            client = Client(account.domain)
            await client.open(*self.place(account.domain))
            await client.register(account.name, account.passwords.state)
            client.abort()
        await asyncio.gather(*(create(account) for account in self.accounts))

    async def connect(self, account, resource, managed, resume=False):
        """Logs in and, if `managed`, enables acknowledgements, or goes on with the session whose
        line broke. No presence yet."""
        # The newest password first, back to the last one that was acknowledged.
        operations = [it for it in account.passwords.operations if it.done is not None]
        candidates = [account.passwords.state]
        for operation in operations:
            candidates.append(operation.apply(candidates[-1]))
        for password in reversed(candidates):
            client = Client(account.domain, lambda *it: self.received(account, *it))
            await client.open(*self.place(account.domain))
            try:
                await client.authenticate(account.name, password, resource)
                break
            except Refused as refusal:
                client.abort()
                if password == candidates[0]:
                    self.complain("I6", f"{account.jid}: no password fits: {refusal}")
                    raise
        if complaint := account.passwords.check(password):
            self.complain("I6", complaint)
        client.resource, client.account, client.life = resource, account, self.life
        client.pending, client.unanswered, client.last_h = [], [], 0
        client.last_number = {}
        client.resumed = False
        # whether it wants copies, and since when it is there
        client.copied, client.may_copy, client.since = False, False, float("inf")
        old = account.asleep.pop(resource, None)
        if managed and old and resume and await self.resume(client, old):
            account.clients[resource] = client
            return client
        account.enabling = managed
        await client.bind(resource)
        self.history.note("info", op="bound", who=client.jid, life=self.life)
        if managed:
            client.on_ack, client.on_request = self.acknowledged, self.requested
            await client.enable()
            account.enabling = False
        else:
            account.plain_life = self.life
        account.clients[resource] = client
        return client

    async def resume(self, client, old):
        """I8, and everything that goes on with the session."""
        client.pending, client.unanswered = old.pending, old.unanswered
        client.last_number, client.last_h = old.last_number, old.last_h
        client.copied, client.may_copy, client.since = old.copied, old.may_copy, old.since
        client.on_ack, client.on_request = self.acknowledged, self.requested
        h = await client.resume(old)
        when = "the line broke" if old.life == self.life else "the server ended"
        if h is None:
            self.counts[f"sessions that were gone when {when}"] += 1
            if old.last_h > 0:
                self.complain("I8", f"{client.jid}: acknowledged up to {old.last_h}, and gone")
            client.on_ack = client.on_request = None
            client.pending, client.unanswered, client.last_h = [], [], 0
            client.last_number = {}
            client.copied, client.may_copy, client.since = False, False, float("inf")
            return False
        self.counts[f"sessions resumed when {when}"] += 1
        self.history.note("info", op="resumed", who=client.jid, life=self.life, had=old.handled)
        client.resumed = True
        self.acknowledged(client, h)
        for _, _, message in client.pending:
            if message:
                # Sent again.
                message.life = self.life
        return True

    @staticmethod
    def is_there(client):
        """It is available, and all that waited has come."""
        client.since = min(client.since, time.monotonic())

    def everybody(self):
        return [it for account in self.accounts for it in account.clients.values()]

    def main_client(self, account):
        """The stream on which an account operates: its acknowledged one, if it has one, the first
        by name of two."""
        streams = [it for it in account.clients.values() if not it.closed.done()]
        streams.sort(key=lambda it: (not it.managed, it.resource))
        return streams[0] if streams else None

    async def leave_dead(self):
        """The server is gone: reads what it had written, or, where a client had stopped
        reading, loses that as a broken line would."""
        clients = self.everybody()
        for client in clients:
            if client in self.stalled:
                client.abort()
        waits = [client.closed for client in clients]
        if waits:
            await asyncio.wait(waits, timeout=5)
        for account in self.accounts:
            for resource in list(account.clients):
                self.fall_asleep(account, resource)
            if account.enabling:
                # It was there, and did not acknowledge yet.
                account.plain_life, account.enabling = self.life, False
        self.stalled.clear()
        self.life += 1

    @staticmethod
    def fall_asleep(account, resource):
        """The line is broken; a session that can be resumed may be."""
        client = account.clients.pop(resource, None)
        if client and client.previd and not client.left:
            account.asleep[resource] = client

    def over(self):
        """The server is dead since now."""
        self.ended[self.life] = time.monotonic()

    # -- acknowledgements

    def send(self, client, text, done=None, message=None):
        """Sends a stanza; `done` is called when an `<a/>` covers it."""
        position = client.stanza(text)
        if client.managed and done:
            client.pending.append((position, done, message))

    def ask(self, client, payload, operation, to=None):
        """An IQ set; its operation is acknowledged by its result or by an `<a/>`."""
        position, answer = client.ask("set", payload, to)
        self.history.note("invoke", who=client.jid, op=operation.name)

        def answered(future):
            if future.cancelled() or future.exception():
                return
            refused = future.result().get("type") == "error"
            operation.done = None if refused else True
            if refused:
                self.counts[f"refused {condition(future.result())}"] += 1
            note = "fail" if refused else "ok"
            self.history.note(note, who=client.jid, op=operation.name, by="result")

        def covered():
            if operation.done is False:
                operation.done = True
                self.history.note("ok", who=client.jid, op=operation.name, by="a")

        answer.add_done_callback(answered)
        if client.managed:
            client.pending.append((position, covered, None))
        return answer

    def acknowledged(self, client, h):
        self.history.note("info", who=client.jid, h=h, sent=client.sent, life=self.life)
        if h > client.sent or h < client.last_h:
            self.complain("I8", f"{client.jid}: h={h} after {client.last_h}, sent {client.sent}")
        client.last_h = h
        count = 0
        for position, done, _ in client.pending:
            if position > h:
                break
            done()
            count += 1
        del client.pending[:count]

    def requested(self, client):
        """The server asks: most clients answer at once, some take their time."""
        if self.rng.random() < 0.7:
            return self.answer(client)
        loop = asyncio.get_running_loop()
        loop.call_later(self.rng.random() * 0.3, self.answer, client)

    def answer(self, client):
        if client.closed.done() or client in self.stalled:
            return
        client.acknowledge()
        now = time.monotonic()
        for message in client.unanswered:
            message.answered = message.answered or (now, self.life)
        client.unanswered.clear()

    async def settle(self, client, patience=20):
        """Asks for `h` and waits until it covers what was sent so far."""
        deadline, sent = time.monotonic() + patience, client.sent
        client.request()
        while client.last_h < sent:
            if client.closed.done():
                raise Lost(f"{client.jid}: {client.error or 'closed'}")
            if time.monotonic() > deadline:
                self.complain("I8", f"{client.jid}: h={client.last_h} of {sent} "
                                    f"after {patience} s")
                return
            await asyncio.sleep(0.005)

    # -- what comes in

    def received(self, account, client, element):
        if element.tag == C + "presence":
            asker = element.get("from")
            if element.get("type") == "subscribe" and asker not in account.answered:
                account.requests.add(asker)
        elif element.tag == C + "message":
            body = element.find(C + "body")
            message = self.messages.get(element.get("id"))
            if (result := archive.result_of(element)) is not None:
                archive.came(client, result)
            elif boards.came(account, element):
                pass
            elif copy := copies.copy_in(element):
                copies.came(self, account, client, element, copy)
            elif element.get("type") == "error":
                self.refused(message, element)
            elif body is not None:
                self.delivered(account, client, message, element, body.text or "")

    def refused(self, message, element):
        if message:
            message.refused = True
            self.history.note("fail", op=message.mid, why=condition(element))
            self.counts[f"refused {condition(element)}"] += 1

    def delivered(self, account, client, message, element, body):
        self.counts["deliveries"] += 1
        if message is None or message.recipient is not account:
            return self.complain("I5", f"{client.jid} got {element.get('id')}, never sent to it")
        if not self.fits(message, body):
            self.complain("I5", f"{message.mid}: other bytes at {client.jid}")
        where = f"{message.mid} {message.sender.jid} -> {client.jid}"
        if any(stream == client.number for _, stream in message.seen):
            self.twice(message, where)
        elif message.seen:
            self.counts["delivered again"] += 1
            # A line that breaks may take an acknowledgement with it.
            if message.answered and account.role not in ("two", "pair", "flap", "sleep") \
                    and (self.strict or not self.is_far(message)):
                at, life = message.answered
                early = self.ended.get(life, time.monotonic()) - at
                if early > FORGIVEN:
                    self.complain("I2", f"{where}: again, although acknowledged {early:.1f} s "
                                        "before the end")
        if message.ordered:
            self.in_order(account, client, message, where)
        message.seen.append((self.life, client.number))
        if client.managed:
            client.unanswered.append(message)
        self.history.note("info", op=message.mid, at=client.jid, delivered=client.number)

    @staticmethod
    def fits(message, body):
        return hashlib.sha256(body.encode()).hexdigest() == message.sha

    @staticmethod
    def is_far(_):
        """Whether a message goes to another server."""
        return False

    def twice(self, _, where):
        self.counts["doubled on one stream"] += 1
        self.complain("I2", f"{where}: twice on one stream")

    def filed_twice(self, account, message):
        self.complain("I2", f"{account.jid}: {message.mid} twice in one archive")

    def in_order(self, account, client, message, where):
        """I3. Numbers of one line: what is in flight when it breaks may be read later than what
        its owner says on the next."""
        sender, number = message.line, message.number
        last = client.last_number.get(sender, -1)
        if number <= last:
            self.complain("I3", f"{where}: number {number} after {last} on one stream")
        client.last_number[sender] = number
        if not message.seen and account.role not in ("two", "pair"):
            newest = account.newest.get(sender, -1)
            if number < newest:
                self.complain("I3", f"{where}: number {number} for the first time after {newest}")
            account.newest[sender] = max(number, newest)
