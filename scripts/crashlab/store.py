"""The store itself, read by `store_dump.rs` from a copy of the data folder: what no client can see.
I1, I2, I4 and I5 in the archives, I7 to I10."""

import json
import shutil
import subprocess


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


def look(world, reader, twice):
    """With `twice` it is opened again, which must change nothing."""
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
    world.counts["archive rows in the store"] += len(rows)
