"""The invariants of a point: I1 to I10, as far as there is something to look at.

Everything but the archives is looked at over the wire, by clients. Of the archives (no XEP-0313
yet) a copy of the data folder tells, read by `examples/store_dump.rs`. What a client without
acknowledgements was sent and never read is in the archive and nowhere else: that is all it was
promised."""

import asyncio
import json
import shutil
import subprocess

from .client import C, Client, Lost, Refused
from .load import FRIENDS, Load, pair_step

ROSTER = "{jabber:iq:roster}"


async def log_in(world):
    """Everybody comes, looks at what is his, and fetches what waited. Then the offline ones
    leave again."""
    await asyncio.gather(*(go_on(world, account) for account in world.accounts))
    await asyncio.gather(*(visit(world, account) for account in world.accounts))
    await subscriptions(world)


async def go_on(world, account):
    """Most of those whose line broke resume, and all where the server stopped in order; what they
    sent again is handled before anybody looks at anything."""
    for resource in list(account.asleep):
        if world.drained or world.rng.random() < world.resumes:
            client = await world.connect(account, resource, True, resume=True)
            if client.resumed:
                await world.settle(client)
            elif world.drained:
                world.complain("B29", f"{client.jid}: not resumed after SIGTERM")


async def visit(world, account):
    streams = {"plain": [("p", False)], "two": [("r", True), ("p", False)]}.get(
        account.role, [("r", True)])
    if account.role == "offline" and world.rng.random() < 0.4:
        streams = [("p", False)]
    if world.rng.random() < 0.5:
        streams = streams[::-1]
    if account.role == "offline" and world.rng.random() < 0.3:
        await break_off(world, account)
    for resource, managed in streams:
        client = account.clients.get(resource)
        if client is None:
            client = await world.connect(account, resource, managed)
        if not client.resumed:
            # It is told all that waits, and nothing old: also of an answer that the crash took.
            account.requests.clear()
            account.answered.clear()
        await look(world, account, client)
        if not client.present or account.role == "offline":
            client.stanza("<presence/>")
        # The answer comes after all that waited.
        await client.get("<ping xmlns='urn:xmpp:ping'/>", account.jid)
        if managed:
            world.answer(client)
        if account.role == "offline":
            await client.close()
            account.clients.clear()


async def break_off(world, account):
    """Comes for what waits, and the line breaks before it is read."""
    client = await world.connect(account, "r", True)
    client.transport.pause_reading()
    client.stanza("<presence/>")
    await asyncio.sleep(world.rng.uniform(0, 0.05))
    client.abort()
    world.fall_asleep(account, "r")


async def look(world, account, client):
    """I6 for everything that is the account's own."""
    query = await client.get("<query xmlns='jabber:iq:roster' ver=''/>")
    seen, account.contacts = {}, {}
    for entry in query.findall(ROSTER + "item"):
        jid = entry.get("jid")
        groups = tuple(sorted(group.text for group in entry.findall(ROSTER + "group")))
        if jid.endswith("@" + FRIENDS):
            seen[jid] = (entry.get("name"), groups)
        else:
            account.contacts[jid] = (entry.get("subscription", "none"), entry.get("ask"))
    version, content = query.get("ver"), (seen, dict(account.contacts))
    if account.version and account.version[0] == version and account.version[1] != content:
        world.complain("I7", f"{account.jid}: roster changed, its version {version} did not")
    account.version = (version, content)
    listed = await client.get("<blocklist xmlns='urn:xmpp:blocking'/>")
    blocked = frozenset(entry.get("jid") for entry in listed)
    checks = [(account.roster, seen), (account.blocked, blocked)]
    for key, subject in account.private.items():
        query = await client.get(f"<query xmlns='jabber:iq:private'><{key} "
                                 f"xmlns='crash:{key}'/></query>")
        checks.append((subject, query[0].text))
    try:
        card = await client.get("<vCard xmlns='vcard-temp'/>")
        checks.append((account.vcard, card.findtext("{vcard-temp}NICKNAME")))
    except Refused:
        checks.append((account.vcard, None))
    for subject, state in checks:
        if complaint := subject.check(state):
            world.complain("I6", complaint)


# -- subscriptions

async def subscriptions(world):
    """Both sides of every pair agree with what was acknowledged; what was cut in half by the
    crash and never acknowledged is undone from both sides."""
    actors = set()
    for pair in world.pairs:
        own = side_of_asker(pair)
        others = side_of_asked(pair)
        possible = pair.possible()
        where = f"{pair.asker.jid} -> {pair.asked.jid}: {pair.doing} after {pair.state}" \
                f"{' acknowledged' if pair.acked else ''}: {own} / {others}"
        if own not in possible or others not in possible:
            world.complain("I6", f"subscription {where}")
        elif own != others and (pair.acked or not pair.doing):
            world.complain("I7", f"subscription {where}")
        elif own == others:
            pair.state, pair.doing = own, None
            continue
        world.counts["subscriptions cut in half"] += 1
        for what in ("unsubscribe", "unsubscribed"):
            if pair_step(world, pair, what):
                actors.add(world.main_client(pair.asker if what == "unsubscribe" else pair.asked))
        pair.state, pair.doing = "none", None
    for client in actors:
        await world.settle(client)


def side_of_asker(pair):
    subscription, ask = pair.asker.contacts.get(pair.asked.jid, ("none", None))
    if subscription in ("to", "both"):
        return "to"
    return "asked" if ask == "subscribe" else "none"


def side_of_asked(pair):
    subscription, _ = pair.asked.contacts.get(pair.asker.jid, ("none", None))
    if subscription in ("from", "both"):
        return "to"
    return "asked" if pair.asker.jid in pair.asked.requests else "none"


# -- guests

async def guests(world):
    for name, guest in world.guests.items():
        if not guest.operations:
            continue
        client = Client(Load.guest_domain(name))
        try:
            await client.open("127.0.0.1", world.server.port)
            await client.login(name, "guest", "r")
            there = True
        except Refused:
            there = False
        client.abort()
        if complaint := guest.check(there):
            world.complain("I6", complaint)


# -- messages

def deliveries(world):
    """I1 over the wire: what was acknowledged has come, unless its recipient had a stream that
    acknowledges nothing."""
    for message in world.messages.values():
        if message.settled or message.life == world.life:
            continue
        message.settled = True
        if message.seen or message.refused or not message.acked:
            world.counts["lost, never acknowledged"] += not (message.seen or message.refused)
            continue
        if message.recipient.plain_life >= message.life:
            where = "in the archive only" if message.place == 1 else "for no archive, and lost"
            world.counts[f"sent to a stream without acknowledgements, {where}"] += 1
            continue
        world.complain("I1", f"{message.mid} {message.sender.jid} -> {message.recipient.jid} "
                             f"({message.recipient.role}, life {message.life}, now {world.life}, "
                             f"{'archive' if message.place == 1 else 'for no archive'}): "
                             "acknowledged and lost")


# -- the archives

def read_store(world, reader):
    """A copy of the store, opened as a starting server would: (facts, rows)."""
    copy = world.server.work / "copy"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(world.server.data / "store", copy)
    lines = run_reader(reader, copy)
    return json.loads(lines[0]), [json.loads(line) for line in lines[1:]], copy


def run_reader(reader, folder):
    done = subprocess.run([str(reader), str(folder)], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"the store cannot be opened: {done.stderr.strip()[-600:]}")
    return done.stdout.splitlines()


def archives(world, reader, twice):
    """I1, I2, I4, I5, I7, I9 and I10 on a copy of the data folder."""
    try:
        facts, rows, copy = read_store(world, reader)
        if twice:
            again = json.loads(run_reader(reader, copy)[0])
            if again["digest"] != facts["digest"]:
                world.complain("I10", "a second start changed the store")
    except RuntimeError as error:
        return world.complain("I9", str(error))
    for key in ("damage", "losses", "dangling"):
        if facts[key]:
            world.complain("I9", f"{key}: {facts[key][:5]}")
    for account in world.accounts:
        for client in account.asleep.values():
            handled = facts["handled"].get(client.previd, 0)
            if handled < client.last_h:
                world.complain("I8", f"{client.jid}: acknowledged {client.last_h}, the store has "
                                     f"{handled}")
    kept = {}
    for row in rows:
        if "unreadable" in row or row["owner"] is None:
            world.complain("I7", f"a kept message without owner or content: {row}")
            continue
        message = world.messages.get(row["id"])
        if message is None:
            world.complain("I5", f"an archive has what was never sent: {row}")
            continue
        if row["sha"] != message.sha:
            world.complain("I5", f"{row['owner']}: other bytes of {row['id']}")
        side = (row["id"], row["owner"], row["out"])
        if side in kept:
            world.complain("I2", f"{row['owner']}: {row['id']} twice in one archive")
        kept[side] = row
    for message in world.messages.values():
        if message.refused or message.place != 1:
            continue
        sent = (message.mid, message.sender.jid, True) in kept
        got = (message.mid, message.recipient.jid, False) in kept
        if sent != got:
            world.complain("I4", f"{message.mid}: in the sender's archive {sent}, in the "
                                 f"recipient's {got}")
        if message.acked and not got:
            world.complain("I1", f"{message.mid}: acknowledged, and in no archive")
    world.counts["archive rows looked at"] += len(rows)
