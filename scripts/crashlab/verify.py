"""What is looked at after a crash, in which order. Everything but the store itself is looked at
over the wire, by clients. What a client without acknowledgements was sent and never read is in
the archive and nowhere else: that is all it was promised."""

import asyncio

from . import archive, boards, copies, guests, holdings, nodes, pairs


async def log_in(world):
    """Everybody comes, looks at what is his, and fetches what waited. Then the offline ones
    leave again. Some hibernating sessions sleep on."""
    world.absent = {account for account in world.accounts
                    if account.role == "sleep" and account.asleep and world.rng.random() < 0.25}
    there = [account for account in world.accounts if account not in world.absent]
    await asyncio.gather(*(go_on(world, account) for account in there))
    await asyncio.gather(*(visit(world, account) for account in there))
    await pairs.look(world)
    await boards.reach(world)
    await guests.look(world)


async def go_on(world, account):
    """Most of those whose line broke resume, and all where the server stopped in order; what they
    sent again is handled before anybody looks at anything."""
    for resource in list(account.asleep):
        if world.drained or world.rng.random() < world.resumes:
            # Its session may have waited with a request that is no more.
            account.answered |= pairs.withdrawn(world, account)
            client = await world.connect(account, resource, True, resume=True)
            if client.resumed:
                await world.settle(client)
            elif world.drained:
                world.complain("B29", f"{client.jid}: not resumed after SIGTERM")


async def visit(world, account):
    streams = {
        "plain": [("p", False)],
        "two": [("r", True), ("p", False)],
        "pair": [("r", True), ("s", True)],
    }.get(account.role, [("r", True)])
    if account.role == "offline" and world.rng.random() < 0.4:
        streams = [("p", False)]
    if world.rng.random() < 0.5:
        streams = streams[::-1]
    # Not over a session that was just resumed: that would end it, and with it any acknowledgement
    # that is still on its way.
    if account.role == "offline" and "r" not in account.clients and world.rng.random() < 0.3:
        await break_off(world, account)
    for resource, managed in streams:
        client = account.clients.get(resource)
        if client is None:
            client = await world.connect(account, resource, managed)
        if not client.resumed:
            # It is told all that waits, also what was answered if the crash took the answer.
            account.requests.clear()
            account.answered = pairs.withdrawn(world, account)
            if account.role == "pair":
                await copies.enable(client)
        if (resource, managed) == streams[0]:
            await holdings.look(world, account, client)
            await nodes.look(world, account, client)
            await boards.look_at_own(world, account, client)
            if account.role == "board":
                await boards.look(world, account, client)
            await archive.fetch(world, account, client, whole=world.last_look)
        if not client.present or account.role == "offline":
            client.stanza("<presence/>")
        # The answer comes after all that waited.
        await client.get("<ping xmlns='urn:xmpp:ping'/>", account.jid)
        world.is_there(client)
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


def messages(world):
    """Where the messages of earlier lives are. I1 over the wire: what was acknowledged has come,
    unless its recipient had a stream that acknowledges nothing."""
    archive.agree(world)
    copies.look(world)
    for message in world.messages.values():
        if message.settled or message.life == world.life or message.recipient in world.absent:
            continue
        message.settled = True
        if message.seen or message.refused or not message.acked:
            world.counts["lost, never acknowledged"] += not (message.seen or message.refused)
            continue
        if message.recipient.plain_life >= message.began:
            where = "in the archive only" if message.place == 1 else "for no archive, and lost"
            world.counts[f"sent to a stream without acknowledgements, {where}"] += 1
            continue
        world.counts["acknowledged messages that never came"] += 1
        world.complain("I1", f"{message.mid} {message.sender.jid} -> {message.recipient.jid} "
                             f"({message.recipient.role}, life {message.life}, now {world.life}, "
                             f"{'archive' if message.place == 1 else 'for no archive'}): "
                             "acknowledged and lost")
