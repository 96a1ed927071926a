"""The load: what each account does while the server runs."""

import asyncio
import hashlib
from xml.sax.saxutils import escape

from .client import C, REGISTER, Client, Lost, Refused, attr
from .model import Message

FRIENDS = "friends.example"
ALPHABET = "abcdefghijklmnopqrstuvwxyz ABCDEFGH 0123456789 <>&'\" äöüß 漢字 \U0001f99c\n"


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
            client = world.main_client(account)
            if account.role == "flap":
                self.tasks.append(loop.create_task(self.flap(account)))
            elif client:
                self.tasks.append(loop.create_task(self.drive(account, client)))
        self.tasks.append(loop.create_task(self.pairs()))
        self.tasks.append(loop.create_task(self.guests()))
        for account in world.accounts:
            if account.role in ("sm", "flap") and self.rng.random() < 0.25:
                loop.call_later(self.rng.random(), self.stall, account)

    def stall(self, account):
        """From now on this one reads nothing."""
        client = self.world.main_client(account)
        if self.running and client and account.role != "flap":
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
                client = await world.connect(account, "r", True,
                                             rng.random() < world.resumes)
                if not client.present:
                    client.stanza("<presence/>")
            driving = asyncio.get_running_loop().create_task(self.drive(account, client))
            try:
                await asyncio.sleep(rng.uniform(0.05, 0.8))
            finally:
                driving.cancel()
            if client.closed.done():
                return
            if rng.random() < 0.5:
                await client.close()
            else:
                client.transport.pause_reading()
                await asyncio.sleep(rng.uniform(0, 0.1))
                client.abort()
                account.stretch += 1
            world.fall_asleep(account, "r")
            client = None
            await asyncio.sleep(rng.uniform(0, 0.2))

    def step(self, account, client):
        choice = self.rng.random()
        # Who breaks lines knows nothing of the order of what he asked for on two of them.
        if choice < 0.70 or (account.role == "flap" and choice < 0.87):
            self.chat(account, client)
        elif choice < 0.76:
            self.roster(account, client)
        elif choice < 0.80:
            self.block(account, client)
        elif choice < 0.84:
            self.private(account, client)
        elif choice < 0.87:
            self.card(account, client)
        elif choice < 0.88 and account.role == "plain":
            self.password(account, client)
        elif choice < 0.94:
            show = self.rng.choice(("away", "chat", "dnd", "xa"))
            self.world.send(client, f"<presence><show>{show}</show></presence>")
        elif choice < 0.97:
            client.ask("get", "<ping xmlns='urn:xmpp:ping'/>", account.domain)
        else:
            other = self.rng.choice(self.world.accounts)
            self.world.send(client, f"<message type='chat' to={attr(other.jid)}><composing "
                                    "xmlns='http://jabber.org/protocol/chatstates'/></message>")

    # -- operations

    def chat(self, account, client):
        world, rng = self.world, self.rng
        recipient = rng.choice([it for it in world.accounts if it is not account])
        account.sent += 1
        mid = f"{account.name}-{account.sent:05}"
        size = rng.choice((20, 40, 80, 80, 200, 200, 600, 5_000)) if rng.random() < 0.97 else 30_000
        body = mid + " " + "".join(rng.choices(ALPHABET, k=size))
        waiting = recipient.role == "offline" and rng.random() < 0.15
        message = Message(mid, account.sent, account, recipient,
                          hashlib.sha256(body.encode()).hexdigest(), world.life,
                          2 if waiting else 1, account.stretch)
        world.messages[mid] = message
        to, kind = recipient.jid, "chat" if rng.random() < 0.9 else "normal"
        if recipient.role in ("sm", "flap") and rng.random() < 0.3:
            # A chat message: any other is refused where nobody is (RFC 6121 §8.5.3.2.2).
            to, kind = to + "/r", "chat"
            # It reaches a device that is not available yet, before what waits for its presence.
            message.ordered = recipient.role != "flap"
        hint = "<no-permanent-store xmlns='urn:xmpp:hints'/>" if waiting else ""
        world.history.note("invoke", op=mid, to=to, sha=message.sha, size=len(body))

        def done():
            message.acked = True
            world.counts["acknowledged messages"] += 1
            world.history.note("ok", op=mid)

        world.send(client, f"<message type='{kind}' id='{mid}' to={attr(to)}>"
                           f"<body>{escape(body)}</body>{hint}</message>", done, message)
        world.counts["messages"] += 1

    def roster(self, account, client):
        jid = f"c{self.rng.randrange(12)}@{FRIENDS}"
        if self.rng.random() < 0.2:
            def apply(state):
                return {key: value for key, value in state.items() if key != jid}
            # Removing what is not there is an error; so only what may be there, and set first.
            operation = account.roster.begin(f"set {jid}", lambda it: {**it, jid: ("gone", ())})
            self.world.ask(client, item(jid, "gone", ()), operation)
            operation = account.roster.begin(f"remove {jid}", apply)
            query = f"<query xmlns='jabber:iq:roster'><item jid='{jid}' " \
                    "subscription='remove'/></query>"
            self.world.ask(client, query, operation)
            return
        name = f"n{self.rng.randrange(10**6)} & co"
        groups = tuple(sorted(self.rng.sample(("A", "B", "C"), self.rng.randrange(3))))
        operation = account.roster.begin(
            f"set {jid} {name}", lambda it: {**it, jid: (name, groups)})
        self.world.ask(client, item(jid, name, groups), operation)

    def block(self, account, client):
        jids = {f"spam{self.rng.randrange(30)}@spam.example" for _ in range(3)}
        items = "".join(f"<item jid='{jid}'/>" for jid in sorted(jids))
        if self.rng.random() < 0.6:
            operation = account.blocked.begin(f"block {sorted(jids)}", lambda it: it | jids)
            name = "block"
        else:
            operation = account.blocked.begin(f"unblock {sorted(jids)}", lambda it: it - jids)
            name = "unblock"
        payload = f"<{name} xmlns='urn:xmpp:blocking'>{items}</{name}>"
        self.world.ask(client, payload, operation)

    def private(self, account, client):
        key = self.rng.choice("xyz")
        value = f"{self.rng.randrange(10**9)}" + "v" * self.rng.choice((0, 10, 6000))
        operation = account.private[key].begin(f"put {value[:12]}", lambda _: value)
        self.world.ask(client, "<query xmlns='jabber:iq:private'>"
                               f"<{key} xmlns='crash:{key}'>{value}</{key}></query>", operation)

    def card(self, account, client):
        value = f"{self.rng.randrange(10**9)}" + "v" * self.rng.choice((0, 10, 9000))
        operation = account.vcard.begin(f"put {value[:12]}", lambda _: value)
        card = f"<vCard xmlns='vcard-temp'><NICKNAME>{value}</NICKNAME></vCard>"
        self.world.ask(client, card, operation)

    def password(self, account, client):
        # One at a time, so that few candidates are to be tried.
        if len(account.passwords.operations) > 1:
            return
        secret = f"secret-{self.rng.randrange(10**9)}"
        operation = account.passwords.begin("password", lambda _: secret)
        query = f"<query xmlns='{REGISTER}'><username>{account.name}</username>" \
                f"<password>{secret}</password></query>"
        self.world.ask(client, query, operation, account.domain)

    # -- subscriptions, one operation of a pair at a time

    async def pairs(self):
        while self.running:
            await asyncio.sleep(self.rng.expovariate(1 / 0.03))
            pair = self.rng.choice(self.world.pairs)
            if pair.doing and pair.acked:
                pair.state, pair.doing = pair.AFTER[pair.doing], None
            if pair.doing:
                continue
            asked_is_there = pair.asked.role != "offline"
            answers = ["subscribed", "subscribed", "unsubscribed"] if asked_is_there else []
            what = self.rng.choice({
                "none": ["subscribe"],
                "asked": ["unsubscribe"] + answers,
                "to": ["unsubscribe"] + answers[2:],
            }[pair.state])
            if self.rng.random() < 0.6:
                pair_step(self.world, pair, what)

    # -- accounts that are made and unmade

    async def guests(self):
        world = self.world
        while self.running:
            await asyncio.sleep(self.rng.uniform(0.1, 0.9))
            there = [name for name, guest in world.guests.items() if guest.state is True
                     and not guest.operations]
            if there and self.rng.random() < 0.5:
                await self.remove_guest(there[0])
            elif len(world.guests) < 400:
                await self.make_guest(f"guest{len(world.guests)}")

    async def make_guest(self, name):
        from .model import Subject
        world = self.world
        client = Client(self.guest_domain(name))
        await client.open("127.0.0.1", world.server.port)
        subject = world.guests[name] = Subject(f"account {name}", False)
        operation = subject.begin("register", lambda _: True)
        world.history.note("invoke", op=f"register {name}")
        await client.register(name, "guest")
        operation.done = True
        world.history.note("ok", op=f"register {name}")
        client.abort()

    async def remove_guest(self, name):
        world = self.world
        client = Client(self.guest_domain(name))
        await client.open("127.0.0.1", world.server.port)
        await client.login(name, "guest", "r")
        operation = world.guests[name].begin("remove", lambda _: False)
        world.history.note("invoke", op=f"remove {name}")
        _, answer = client.ask("set", f"<query xmlns='{REGISTER}'><remove/></query>")
        if (await answer).get("type") == "result":
            operation.done = True
            world.history.note("ok", op=f"remove {name}")
        client.abort()

    @staticmethod
    def guest_domain(name):
        from .server import DOMAINS
        return DOMAINS[int(name[5:]) % 2]


def pair_step(world, pair, what):
    """Sends one of the four; False if its sender is not there."""
    actor, other = pair.asker, pair.asked
    if what in ("subscribed", "unsubscribed"):
        actor, other = other, actor
    client = world.main_client(actor)
    if client is None or not client.managed:
        return False
    if what == "subscribe":
        pair.asked.answered.discard(pair.asker.jid)
    else:
        pair.asked.answered.add(pair.asker.jid)
        pair.asked.requests.discard(pair.asker.jid)
    pair.begin(what)
    world.history.note("invoke", op=what, who=actor.jid, to=other.jid)

    def done():
        pair.acked = True
        world.history.note("ok", op=what, who=actor.jid, to=other.jid)

    world.send(client, f"<presence type='{what}' to={attr(other.jid)}/>", done)
    client.request()
    return True


def item(jid, name, groups):
    inside = "".join(f"<group>{group}</group>" for group in groups)
    return f"<query xmlns='jabber:iq:roster'><item jid='{jid}' name={attr(name)}>{inside}" \
           "</item></query>"
