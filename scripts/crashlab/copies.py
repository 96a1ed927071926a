"""Two resources that want copies of each other's messages (XEP-0280). Each session has each message
that the account was sent once, as a message or as a copy, and one copy of what the other sent; so
too when both sessions are resumed."""

from .client import C

CARBONS = "urn:xmpp:carbons:2"
FORWARD = "{urn:xmpp:forward:0}forwarded"


async def enable(client):
    # It is done where it was asked for, although a crash may take the answer along.
    client.may_copy = True
    await client.call("set", f"<enable xmlns='{CARBONS}'/>")
    client.copied = True


def copy_in(element):
    """(`received` or `sent`, the message inside), or None."""
    for way in ("received", "sent"):
        if (copy := element.find(f"{{{CARBONS}}}{way}")) is not None:
            return way, copy.find(FORWARD + "/" + C + "message")
    return None


def came(world, account, client, element, copy):
    """A copy. That it was forged, or is of another's message, is I5."""
    way, stanza = copy
    if stanza.find(C + "body") is None:
        return
    message = world.messages.get(stanza.get("id"))
    owner = message and (message.recipient if way == "received" else message.sender)
    where = f"{stanza.get('id')} copied ({way}) to {client.jid}"
    if owner is not account or element.get("from") != account.jid or not client.may_copy:
        return world.complain("I5", f"{where}: never sent so")
    world.counts[f"copies of messages {way}"] += 1
    body = stanza.findtext(C + "body") or ""
    if way == "received":
        return world.delivered(account, client, message, stanza, body)
    if stanza.get("from") == client.jid:
        world.complain("I5", f"{where}, who sent it")
    if not world.fits(message, body):
        world.complain("I5", f"{where}: other bytes")
    if client.number in message.copied:
        # What is for no archive is copied to who is there, and again if it is sent again.
        if message.place == 1:
            world.twice(message, where)
    message.copied.add(client.number)
    world.history.note("info", op=message.mid, at=client.jid, copied=client.number)


def look(world):
    """What the messages of earlier lives came to, at each session that was there before them."""
    for account in world.accounts:
        if account.role != "pair":
            continue
        sessions = [it for it in account.clients.values() if it.copied]
        for message in world.messages.values():
            if message.settled or message.life == world.life or message.refused:
                continue
            for client in sessions:
                if client.since < message.sent_at and account in (message.sender,
                                                                  message.recipient):
                    complete(world, account, client, message)


def complete(world, account, client, message):
    where = f"{message.mid} {message.sender.jid} -> {message.recipient.jid}"
    if message.recipient is account:
        if (message.acked or message.seen) and not any(number == client.number
                                                       for _, number in message.seen):
            world.counts["messages that one of two resources never had"] += 1
            world.complain("I1", f"{where}: never at {client.jid}, acknowledged {message.acked}, "
                                 f"seen {message.seen}")
    elif message.by != client.resource and message.acked and message.place == 1 \
            and client.number not in message.copied:
        world.counts["copies of what was sent that never came"] += 1
        world.complain("I1", f"{where}: no copy at {client.jid}")
