"""The line between two servers: bytes go through here, and some connections break in the middle of
a stanza, fall silent for a while or for good, or trickle."""

import asyncio

# Of how many connections what comes of them.
FATES = (("sound", 50), ("cut", 25), ("halting", 10), ("dead", 5), ("trickling", 10))
CHUNK = 16 * 1024


class Wire:
    """One direction: who calls is connected with the one at `target`."""

    def __init__(self, rng, counts, target):
        self.rng, self.counts, self.target = rng, counts, target
        # Otherwise all goes well, also what had begun badly.
        self.rough = False
        self.server = self.place = None
        self.ends = set()

    async def hang(self, address):
        self.server = await asyncio.start_server(self.carry, address, 0)
        self.place = f"{address}:{self.server.sockets[0].getsockname()[1]}"

    def take_down(self):
        if self.server:
            self.server.close()
        self.cut(self.ends)

    @staticmethod
    def cut(ends):
        for end in list(ends):
            end.transport.abort()

    async def carry(self, reader, writer):
        ends = {writer}
        self.ends.add(writer)
        try:
            there, other = await asyncio.open_connection(*self.target)
        except OSError:
            return self.drop(ends)
        ends.add(other)
        self.ends.add(other)
        names, weights = zip(*FATES)
        fate = self.rng.choices(names, weights)[0] if self.rough else "sound"
        # Where it happens: in the handshake, or anywhere in what follows.
        mark = int(self.rng.paretovariate(0.5) * 500)
        ways = self.way(reader, other, fate, mark), self.way(there, writer, fate, mark)
        pumps = {asyncio.ensure_future(way) for way in ways}
        try:
            # The end of one is the end of both.
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            pass
        finally:
            for pump in pumps:
                pump.cancel()
            self.drop(ends)

    def drop(self, ends):
        self.cut(ends)
        self.ends -= ends

    async def way(self, reader, writer, fate, mark):
        passed, met = 0, False
        try:
            while data := await reader.read(CHUNK):
                met = passed <= mark < passed + len(data) and fate != "sound" and self.rough
                passed += len(data)
                if met:
                    self.counts[f"lines between servers that were {fate}"] += 1
                    if not await self.suffer(writer, fate, data):
                        return
                else:
                    writer.write(data)
                await writer.drain()
        except OSError:
            pass

    async def suffer(self, writer, fate, data):
        """The fate of this piece; whether the line goes on after it."""
        if fate == "cut":
            # Half of a record, or of a stanza.
            writer.write(data[:self.rng.randrange(len(data) + 1)])
            await asyncio.sleep(0.02)
            return False
        if fate == "trickling":
            while data and self.rough:
                size = self.rng.randint(1, 40)
                writer.write(data[:size])
                data = data[size:]
                await asyncio.sleep(0.005)
        elif fate == "halting":
            await asyncio.sleep(self.rng.uniform(0.1, 1.5))
        else:
            # Both ends believe in it until they ask.
            while self.rough:
                await asyncio.sleep(0.05)
            return False
        writer.write(data)
        return True
