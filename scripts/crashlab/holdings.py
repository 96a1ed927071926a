"""What an account has for itself: roster, block list, private XML, vCard, password. Each kind of
operation, and I6 and I7: what is there after a crash."""

from .client import REGISTER, Refused, attr

FRIENDS = "friends.example"
ROSTER = "{jabber:iq:roster}"


# -- operations

def roster(world, account, client):
    rng = world.rng
    jid = f"c{rng.randrange(12)}@{FRIENDS}"
    if rng.random() < 0.2:
        def apply(state):
            return {key: value for key, value in state.items() if key != jid}
        # Removing what is not there is an error; so only what may be there, and set first.
        operation = account.roster.begin(f"set {jid}", lambda it: {**it, jid: ("gone", ())})
        world.ask(client, item(jid, "gone", ()), operation)
        operation = account.roster.begin(f"remove {jid}", apply)
        query = f"<query xmlns='jabber:iq:roster'><item jid='{jid}' " \
                "subscription='remove'/></query>"
        world.ask(client, query, operation)
        return
    name = f"n{rng.randrange(10**6)} & co"
    groups = tuple(sorted(rng.sample(("A", "B", "C"), rng.randrange(3))))
    operation = account.roster.begin(f"set {jid} {name}", lambda it: {**it, jid: (name, groups)})
    world.ask(client, item(jid, name, groups), operation)


def item(jid, name, groups):
    inside = "".join(f"<group>{group}</group>" for group in groups)
    return f"<query xmlns='jabber:iq:roster'><item jid='{jid}' name={attr(name)}>{inside}" \
           "</item></query>"


def block(world, account, client):
    jids = {f"spam{world.rng.randrange(30)}@spam.example" for _ in range(3)}
    items = "".join(f"<item jid='{jid}'/>" for jid in sorted(jids))
    if world.rng.random() < 0.6:
        operation = account.blocked.begin(f"block {sorted(jids)}", lambda it: it | jids)
        name = "block"
    else:
        operation = account.blocked.begin(f"unblock {sorted(jids)}", lambda it: it - jids)
        name = "unblock"
    payload = f"<{name} xmlns='urn:xmpp:blocking'>{items}</{name}>"
    world.ask(client, payload, operation)


def private(world, account, client):
    key = world.rng.choice("xyz")
    value = f"{world.rng.randrange(10**9)}" + "v" * world.rng.choice((0, 10, 6000))
    operation = account.private[key].begin(f"put {value[:12]}", lambda _: value)
    world.ask(client, "<query xmlns='jabber:iq:private'>"
                      f"<{key} xmlns='crash:{key}'>{value}</{key}></query>", operation)


def card(world, account, client):
    value = f"{world.rng.randrange(10**9)}" + "v" * world.rng.choice((0, 10, 9000))
    operation = account.vcard.begin(f"put {value[:12]}", lambda _: value)
    vcard = f"<vCard xmlns='vcard-temp'><NICKNAME>{value}</NICKNAME></vCard>"
    world.ask(client, vcard, operation)


def password(world, account, client):
    # One at a time, so that few candidates are to be tried.
    if len(account.passwords.operations) > 1:
        return
    secret = f"secret-{world.rng.randrange(10**9)}"
    operation = account.passwords.begin("password", lambda _: secret)
    query = f"<query xmlns='{REGISTER}'><username>{account.name}</username>" \
            f"<password>{secret}</password></query>"
    world.ask(client, query, operation, account.domain)


# -- what is there

async def look(world, account, client):
    """The password is looked at by whoever logs in."""
    checks = [(account.roster, await contacts(world, account, client))]
    listed = await client.get("<blocklist xmlns='urn:xmpp:blocking'/>")
    checks.append((account.blocked, frozenset(entry.get("jid") for entry in listed)))
    for key, subject in account.private.items():
        query = await client.get(f"<query xmlns='jabber:iq:private'><{key} "
                                 f"xmlns='crash:{key}'/></query>")
        checks.append((subject, query[0].text))
    try:
        vcard = await client.get("<vCard xmlns='vcard-temp'/>")
        checks.append((account.vcard, vcard.findtext("{vcard-temp}NICKNAME")))
    except Refused:
        checks.append((account.vcard, None))
    for subject, state in checks:
        if complaint := subject.check(state):
            world.complain("I6", complaint)


async def contacts(world, account, client):
    """The roster's friends; the other accounts in it are looked at in pairs."""
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
    return seen
