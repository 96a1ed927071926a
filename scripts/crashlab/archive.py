"""Archives through the protocol (XEP-0313): pages that are asked for under load, and after a crash
everybody's whole history. I1, I2, I4 and I5: each message that was acknowledged is in both
archives once, and what one of them has the other has too."""

import asyncio
import hashlib
from collections import defaultdict
from xml.etree import ElementTree as ET

from .client import C

MAM = "urn:xmpp:mam:2"
RSM = "http://jabber.org/protocol/rsm"
FORWARD = "{urn:xmpp:forward:0}forwarded"
PAGE = 50


class Archive:
    """What was seen of one account's archive."""

    def __init__(self):
        # (message id, whether the account sent it) -> id in the archive
        self.rows = {}
        self.last = None


def result_of(element):
    """The `<result/>` in a message, or None."""
    return element.find(f"{{{MAM}}}result")


def came(client, result):
    """A result; those of a query before the crash belong to nobody."""
    page = client.pages.get(result.get("queryid"))
    if page is not None:
        page.append(result)


def query(client, paging, form=""):
    """Asks for a page: (future of the answer, list of results that fills before it)."""
    client.queries += 1
    name = f"m{client.queries}"
    page = client.pages[name] = []
    _, answer = client.ask("set", f"<query xmlns='{MAM}' queryid='{name}'>{form}"
                                  f"<set xmlns='{RSM}'>{paging}</set></query>")
    answer.add_done_callback(lambda _: client.pages.pop(name, None))
    return answer, page


# -- under load

def browse(world, account, client):
    """The newest page, or what was said with somebody. It must make sense, whenever it comes."""
    form, other = "", None
    if world.rng.random() < 0.5:
        other = world.rng.choice(world.accounts)
        form = "<x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE' type='hidden'>" \
               f"<value>{MAM}</value></field><field var='with'><value>{other.jid}</value>" \
               "</field></x>"
    answer, page = query(client, "<max>20</max><before/>", form)

    def answered(future):
        if future.cancelled() or future.exception():
            return
        world.counts["pages of archives under load"] += 1
        if future.result().get("type") == "error":
            return world.complain("I9", f"{account.jid}: no page of the archive: "
                                        f"{ET.tostring(future.result(), 'unicode')[:300]}")
        uids = [result.get("id") for result in page]
        if len(page) > 20 or len(set(uids)) != len(uids):
            world.complain("I9", f"{account.jid}: a page of 20 has {uids}")
        for result in page:
            message, out = read(world, account, result)
            if message and other and (message.recipient if out else message.sender) is not other:
                world.complain("I9", f"{account.jid}: {message.mid} is not of {other.jid}")

    answer.add_done_callback(answered)


def read(world, account, result):
    """(the message or None, whether the account sent it)"""
    stanza = result.find(FORWARD + "/" + C + "message")
    body = stanza.find(C + "body") if stanza is not None else None
    if body is None:
        world.complain("I7", f"{account.jid}: {ET.tostring(result, 'unicode')[:300]}")
        return None, False
    out = stanza.get("from", account.jid).split("/")[0] == account.jid
    message = world.messages.get(stanza.get("id"))
    owner = message and (message.sender if out else message.recipient)
    if owner is not account:
        world.complain("I5", f"{account.jid}: the archive has {stanza.get('id')}, never sent")
        return None, out
    if hashlib.sha256((body.text or "").encode()).hexdigest() != message.sha:
        world.complain("I5", f"{account.jid}: the archive has other bytes of {message.mid}")
    return message, out


# -- after a crash

async def fetch(world, account, client, whole=False):
    """What is new in the archive; from its beginning if `whole`, which must show the same."""
    archive = account.archive
    seen, last = ({}, None) if whole else (archive.rows, archive.last)
    numbers = defaultdict(lambda: -1)
    while True:
        paging = f"<max>{PAGE}</max>" + (f"<after>{last}</after>" if last else "")
        answer, page = query(client, paging)
        answer = await asyncio.wait_for(answer, 30)
        if answer.get("type") == "error":
            world.complain("I9", f"{account.jid}: {ET.tostring(answer, 'unicode')[:300]}")
            archive.last = None
            return
        for result in page:
            last = result.get("id")
            row(world, account, result, seen, numbers)
        if not whole:
            # A kill may end this look after any page.
            archive.last = last
        if not page or answer[0].get("complete") == "true":
            break
    if whole and (gone := set(archive.rows.items()) - set(seen.items())):
        world.complain("I9", f"{account.jid}: from its beginning the archive lacks {len(gone)} "
                             f"rows that were there: {sorted(gone)[:4]}")
    archive.rows, archive.last = seen, last


def row(world, account, result, seen, numbers):
    message, out = read(world, account, result)
    if message is None:
        return
    world.counts["archive rows read by clients"] += 1
    if (message.mid, out) in seen:
        return world.filed_twice(account, message)
    seen[message.mid, out] = result.get("id")
    if message.ordered and not out:
        key = message.line
        if message.number < numbers[key]:
            world.complain("I3", f"{account.jid}: the archive has {message.mid} after "
                                 f"number {numbers[key]}")
        numbers[key] = message.number


def agree(world):
    """Of messages of earlier lives, each once, when both sides have been looked at."""
    for message in world.messages.values():
        if message.filed or message.life == world.life or message.refused \
                or message.place != 1 or world.absent & {message.sender, message.recipient}:
            continue
        message.filed = True
        sent = (message.mid, True) in message.sender.archive.rows
        got = (message.mid, False) in message.recipient.archive.rows
        if sent != got:
            world.complain("I4", f"{message.mid}: in the sender's archive {sent}, in the "
                                 f"recipient's {got}")
        if message.acked and not got:
            world.counts["acknowledged messages in no archive"] += 1
            world.complain("I1", f"{message.mid}: acknowledged, and not in the archive")
