"""Accounts that are made and unmade (XEP-0077). I6: who was registered can log in, who was removed
cannot."""

import asyncio

from .client import REGISTER, Client, Refused
from .model import Subject
from .server import DOMAINS


async def come_and_go(world, running):
    """As long as `running()` says so."""
    while running():
        await asyncio.sleep(world.rng.uniform(0.1, 0.9))
        there = [name for name, guest in world.guests.items() if guest.state is True
                 and not guest.operations]
        if there and world.rng.random() < 0.5:
            await remove(world, there[0])
        elif len(world.guests) < 400:
            await make(world, f"guest{len(world.guests)}")


async def make(world, name):
    client = Client(domain(name))
    await client.open("127.0.0.1", world.server.port)
    subject = world.guests[name] = Subject(f"account {name}", False)
    operation = subject.begin("register", lambda _: True)
    world.history.note("invoke", op=f"register {name}")
    await client.register(name, "guest")
    operation.done = True
    world.history.note("ok", op=f"register {name}")
    client.abort()


async def remove(world, name):
    client = Client(domain(name))
    await client.open("127.0.0.1", world.server.port)
    await client.login(name, "guest", "r")
    operation = world.guests[name].begin("remove", lambda _: False)
    world.history.note("invoke", op=f"remove {name}")
    _, answer = client.ask("set", f"<query xmlns='{REGISTER}'><remove/></query>")
    if (await answer).get("type") == "result":
        operation.done = True
        world.history.note("ok", op=f"remove {name}")
    client.abort()


def domain(name):
    return DOMAINS[int(name[5:]) % 2]


async def look(world):
    for name, guest in world.guests.items():
        if not guest.operations:
            continue
        client = Client(domain(name))
        try:
            await client.open("127.0.0.1", world.server.port)
            await client.login(name, "guest", "r")
            there = True
        except Refused:
            there = False
        client.abort()
        if complaint := guest.check(there):
            world.complain("I6", complaint)
