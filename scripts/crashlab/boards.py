"""Nodes of the publish-subscribe service (XEP-0060): one on each domain, its publisher, and who
subscribes to it. I6: items, configuration, affiliations and subscriptions are what a prefix of the
operations makes, and the two sides of a subscription agree; I1: after a crash every subscriber
hears what is published next."""

import asyncio

from .client import C, Refused, attr

PUBSUB = "http://jabber.org/protocol/pubsub"
NODE = "board"
BOARD = f"urn:example:crash:{NODE}"
FRIENDS = "friends.example"
FORM = "{jabber:x:data}"
# How long news may take that must come.
PATIENCE = 20


def service(domain):
    return f"pubsub.{domain}"


def board_of(world, domain):
    """Its publisher."""
    return next(it for it in world.accounts if it.role == "board" and it.domain == domain)


# -- operations

def step(world, account, client):
    """Of a publisher, on its node."""
    choice, rng = world.rng.random(), world.rng
    key, to = f"p{rng.randrange(8)}", service(account.domain)
    if choice < 0.60:
        value = f"{rng.randrange(10**9)}" + "v" * rng.choice((0, 10, 300, 9000))
        operation = account.posts.begin(f"publish {key} {value[:12]}",
                                        lambda it: {**it, key: value})
        payload = publishing(key, value)
    elif choice < 0.72:
        operation = account.posts.begin(
            f"retract {key}", lambda it: {name: it[name] for name in it if name != key})
        payload = f"<pubsub xmlns='{PUBSUB}'><retract node='{NODE}'><item id='{key}'/></retract>" \
                  "</pubsub>"
    elif choice < 0.75:
        operation = account.posts.begin("purge", lambda _: {})
        payload = f"<pubsub xmlns='{PUBSUB}#owner'><purge node='{NODE}'/></pubsub>"
    elif choice < 0.88:
        title = f"t{rng.randrange(10**9)}"
        operation = account.title.begin(f"configure {title}", lambda _: title)
        payload = configuring(title)
    else:
        # Nobody goes from publisher to member, which the chart of XEP-0060 §4.1 does not have.
        number = rng.randrange(6)
        friend = f"f{number}@{FRIENDS}"
        kind = rng.choice(("publisher" if number % 2 else "member", "outcast", "none"))
        operation = account.staff.begin(f"affiliate {friend} {kind}", lambda it: {
            **{name: it[name] for name in it if name != friend},
            **({friend: kind} if kind != "none" else {})})
        payload = f"<pubsub xmlns='{PUBSUB}#owner'><affiliations node='{NODE}'>" \
                  f"<affiliation jid='{friend}' affiliation='{kind}'/></affiliations></pubsub>"
    world.ask(client, payload, operation, to)


def join_or_leave(world, account, client):
    """Of anybody, on the node of either domain."""
    domain = world.rng.choice(sorted(account.joined))
    joins = world.rng.random() < 0.6
    what = "subscribe" if joins else "unsubscribe"
    operation = account.joined[domain].begin(f"{what} {domain}", lambda _: joins)
    payload = f"<pubsub xmlns='{PUBSUB}'><{what} node='{NODE}' jid={attr(account.jid)}/></pubsub>"
    world.ask(client, payload, operation, service(domain))


def publishing(key, value):
    return f"<pubsub xmlns='{PUBSUB}'><publish node='{NODE}'><item id='{key}'>" \
           f"<post xmlns='{BOARD}'>{value}</post></item></publish></pubsub>"


def configuring(title):
    return f"<pubsub xmlns='{PUBSUB}#owner'><configure node='{NODE}'>" \
           "<x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE' type='hidden'>" \
           f"<value>{PUBSUB}#node_config</value></field><field var='pubsub#title'>" \
           f"<value>{title}</value></field></x></configure></pubsub>"


# -- what is there

async def look(world, account, client):
    """What a publisher sees of its node, which it makes when it comes first."""
    to = service(account.domain)
    try:
        items = await client.get(f"<pubsub xmlns='{PUBSUB}'><items node='{NODE}'/></pubsub>", to)
    except Refused as refusal:
        if "item-not-found" not in str(refusal) or account.has_board:
            world.complain("I6", f"{account.jid}: no node: {refusal}")
            raise
        await client.call("set", f"<pubsub xmlns='{PUBSUB}'><create node='{NODE}'/></pubsub>", to)
        items = ()
    account.has_board = True
    posts = {it.get("id"): it[0].text for it in iterate(items, f"{{{PUBSUB}}}item")}
    node = await client.get(f"<pubsub xmlns='{PUBSUB}#owner'><configure node='{NODE}'/></pubsub>",
                            to)
    titles = [field.findtext(FORM + "value") for field in node.iter(FORM + "field")
              if field.get("var") == "pubsub#title"]
    listed = await client.get(
        f"<pubsub xmlns='{PUBSUB}#owner'><affiliations node='{NODE}'/></pubsub>", to)
    staff = {it.get("jid"): it.get("affiliation")
             for it in listed.iter(f"{{{PUBSUB}#owner}}affiliation")
             if it.get("jid").endswith("@" + FRIENDS)}
    for subject, state in ((account.posts, posts), (account.title, titles[0] or None),
                           (account.staff, staff)):
        if complaint := subject.check(state):
            world.complain("I6", complaint)


def iterate(element, tag):
    return element.iter(tag) if len(element) else ()


async def look_at_own(world, account, client):
    """What somebody sees of his subscriptions."""
    for domain, subject in account.joined.items():
        listed = await client.get(f"<pubsub xmlns='{PUBSUB}'><subscriptions/></pubsub>",
                                  service(domain))
        there = any(it.get("node") == NODE and it.get("subscription") == "subscribed"
                    for it in listed.iter(f"{{{PUBSUB}}}subscription"))
        if complaint := subject.check(there):
            world.complain("I6", complaint)


async def reach(world):
    """What is published now reaches whoever is subscribed, and its publisher knows them."""
    for publisher in (it for it in world.accounts if it.role == "board"):
        client, to = world.main_client(publisher), service(publisher.domain)
        if client is None:
            continue
        readers = {it.jid: it for it in world.accounts
                   if publisher.domain in it.joined and it.joined[publisher.domain].state}
        listed = await client.get(
            f"<pubsub xmlns='{PUBSUB}#owner'><subscriptions node='{NODE}'/></pubsub>", to)
        known = {it.get("jid") for it in listed.iter(f"{{{PUBSUB}#owner}}subscription")}
        if known != set(readers):
            world.complain("I7", f"{to}: subscribed are {sorted(known)}, and of themselves say so "
                                 f"{sorted(readers)}")
        value = f"probe {world.life} {world.rng.randrange(10**9)}"
        operation = publisher.posts.begin(f"publish p0 {value}",
                                          lambda it, value=value: {**it, "p0": value})
        await client.call("set", publishing("p0", value), to)
        operation.done = True
        deadline = asyncio.get_running_loop().time() + PATIENCE
        for reader in readers.values():
            while value not in reader.news and world.main_client(reader) \
                    and asyncio.get_running_loop().time() < deadline:
                await asyncio.sleep(0.002)
            if value in reader.news:
                world.counts["publications that reached a subscriber after a restart"] += 1
            elif world.server.is_up():
                world.complain("I1", f"{reader.jid} is subscribed to {to} and was not told")
            reader.news.clear()


def came(account, element):
    """An event; whether it is one."""
    event = element.find(f"{{{PUBSUB}#event}}event")
    if event is None or element.tag != C + "message":
        return False
    for post in event.iter(f"{{{BOARD}}}post"):
        if (post.text or "").startswith("probe "):
            account.news.add(post.text)
    return True
