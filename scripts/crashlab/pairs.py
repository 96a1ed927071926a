"""Subscriptions (RFC 6121 §3) between two accounts, one operation of a pair at a time. I6 and I7:
both sides agree with what was acknowledged, and with each other."""

from .client import attr


def step(world):
    """One of the four by a pair that waits for nothing."""
    pair = world.rng.choice(world.pairs)
    if pair.doing and pair.acked:
        pair.state, pair.doing = pair.AFTER[pair.doing], None
    if pair.doing:
        return
    asked_is_there = pair.asked.role != "offline"
    answers = ["subscribed", "subscribed", "unsubscribed"] if asked_is_there else []
    what = world.rng.choice({
        "none": ["subscribe"],
        "asked": ["unsubscribe"] + answers,
        "to": ["unsubscribe"] + answers[2:],
    }[pair.state])
    if world.rng.random() < 0.6:
        send(world, pair, what)


def send(world, pair, what):
    """Sends one of the four; False if its sender is not there."""
    actor, other = pair.asker, pair.asked
    if what in ("subscribed", "unsubscribed"):
        actor, other = other, actor
    client = world.main_client(actor)
    if client is None or not client.managed:
        return False
    if what == "subscribe":
        pair.asked.answered.discard(pair.asker.jid)
    elif what != "unsubscribe" or not world.hears_withdrawals:
        pair.asked.answered.add(pair.asker.jid)
        pair.asked.again.discard(pair.asker.jid)
        pair.asked.requests.discard(pair.asker.jid)
    pair.begin(what)
    world.history.note("invoke", op=what, who=actor.jid, to=other.jid)

    def done():
        pair.acked = True
        world.history.note("ok", op=what, who=actor.jid, to=other.jid)

    world.send(client, f"<presence type='{what}' to={attr(other.jid)}/>", done)
    client.request()
    return True


async def look(world):
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
            if send(world, pair, what):
                actors.add(world.main_client(pair.asker if what == "unsubscribe" else pair.asked))
        pair.state, pair.doing = "none", None
    for client in actors:
        await world.settle(client)


def withdrawn(world, account):
    """Whose requests are no more. A session that hibernated meanwhile may be told of one still."""
    return {pair.asker.jid for pair in world.pairs
            if pair.asked is account and "asked" not in pair.possible()}


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
