"""An account's nodes (XEP-0163): notes that are published, taken back and purged, and bookmarks by
their two faces (XEP-0402 and the list of XEP-0048 in XEP-0049). I6: the items are what a prefix
of the operations makes, and both faces show the same."""

from xml.sax.saxutils import escape

from .client import Refused, attr

PUBSUB = "http://jabber.org/protocol/pubsub"
NOTES = "urn:example:crash:notes"
BOOKMARKS = "urn:xmpp:bookmarks:1"
OLD = "storage:bookmarks"
KEPT = {"persist_items": "true", "access_model": "whitelist"}
OPTIONS = {NOTES: {**KEPT, "max_items": "32"},
           BOOKMARKS: {**KEPT, "max_items": "max", "send_last_published_item": "never"}}


# -- operations

def note(world, account, client):
    choice, key = world.rng.random(), f"n{world.rng.randrange(8)}"
    if choice < 0.70:
        value = f"{world.rng.randrange(10**9)}" + "v" * world.rng.choice((0, 10, 300, 9000))
        operation = account.notes.begin(f"publish {key} {value[:12]}",
                                        lambda it: {**it, key: value})
        payload = publishing(NOTES, key, f"<note xmlns='{NOTES}'>{value}</note>")
    elif choice < 0.97:
        operation = account.notes.begin(f"retract {key}", lambda it: without(it, key))
        payload = retracting(NOTES, key)
    else:
        operation = account.notes.begin("purge", lambda _: {})
        payload = f"<pubsub xmlns='{PUBSUB}#owner'><purge node='{NOTES}'/></pubsub>"
    world.ask(client, payload, operation)


def bookmark(world, account, client):
    choice, room = world.rng.random(), f"room{world.rng.randrange(6)}@rooms.example"
    name = f"b{world.rng.randrange(10**6)} & co"
    if choice < 0.5:
        operation = account.bookmarks.begin(f"publish {room} {name}",
                                            lambda it: {**it, room: name})
        payload = publishing(BOOKMARKS, room, f"<conference xmlns='{BOOKMARKS}' "
                                              f"name={attr(name)} autojoin='true'/>")
    elif choice < 0.7:
        operation = account.bookmarks.begin(f"retract {room}", lambda it: without(it, room))
        payload = retracting(BOOKMARKS, room)
    else:
        listed = {f"room{n}@rooms.example": f"{name} {n}"
                  for n in world.rng.sample(range(6), world.rng.randrange(1, 5))}
        operation = account.bookmarks.begin(f"list {sorted(listed)} {name}", lambda _: listed)
        inside = "".join(f"<conference jid='{jid}' name={attr(text)}/>"
                         for jid, text in listed.items())
        payload = f"<query xmlns='jabber:iq:private'><storage xmlns='{OLD}'>{inside}</storage>" \
                  "</query>"
    world.ask(client, payload, operation)


def without(items, key):
    return {name: value for name, value in items.items() if name != key}


def publishing(node, key, payload):
    fields = "".join(f"<field var='pubsub#{name}'><value>{value}</value></field>"
                     for name, value in OPTIONS[node].items())
    return f"<pubsub xmlns='{PUBSUB}'><publish node='{node}'><item id='{key}'>{payload}</item>" \
           "</publish><publish-options><x xmlns='jabber:x:data' type='submit'>" \
           "<field var='FORM_TYPE' type='hidden'>" \
           f"<value>{PUBSUB}#publish-options</value></field>{fields}</x></publish-options></pubsub>"


def retracting(node, key):
    return f"<pubsub xmlns='{PUBSUB}'><retract node='{escape(node)}' notify='true'>" \
           f"<item id='{key}'/></retract></pubsub>"


# -- what is there

async def look(world, account, client):
    notes = {key: payload.text for key, payload in await items(client, NOTES)}
    if complaint := account.notes.check(notes):
        world.complain("I6", complaint)
    native = {key: payload.get("name") for key, payload in await items(client, BOOKMARKS)}
    query = await client.get("<query xmlns='jabber:iq:private'>"
                             f"<storage xmlns='{OLD}'/></query>")
    old = {entry.get("jid"): entry.get("name") for entry in query[0]}
    if native != old:
        world.complain("I6", f"{account.jid} bookmarks: {native} are listed as {old}")
    if complaint := account.bookmarks.check(native):
        world.complain("I6", complaint)


async def items(client, node):
    """(id, payload) of each item; none if there is no such node yet."""
    try:
        answer = await client.get(f"<pubsub xmlns='{PUBSUB}'><items node='{node}'/></pubsub>")
    except Refused as refusal:
        if "item-not-found" in str(refusal):
            return []
        raise
    return [(entry.get("id"), entry[0]) for entry in answer.iter(f"{{{PUBSUB}}}item")]
