"""nbxmpp (PyPI), Gajim's library, in a process of its own, nbxmpp_run.py: it lives in
GLib's loop."""

import asyncio
import json
import pathlib

from server import DOMAIN, PATIENCE, secret

ARCHIVED = ["to the phone", "from the phone", *(f"into the dark {n}" for n in range(3)),
            "there again"]


async def run(server, python):
    """SASL2, carbons, PEP, resumption and the archive, from login to logout."""
    users = ["alice-nbxmpp", "bob-nbxmpp"]
    for user in users:
        await server.account(user)
    settings = {
        "port": server.starttls, "domain": DOMAIN, "certificate": str(server.certificate),
        "alice": users[0], "bob": users[1], "passwords": {user: secret(user) for user in users},
        "patience": PATIENCE,
    }
    process = await asyncio.create_subprocess_exec(
        python, pathlib.Path(__file__).with_name("nbxmpp_run.py"), json.dumps(settings),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE)
    try:
        told, complaints = await asyncio.wait_for(process.communicate(), 2 * PATIENCE)
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode == 0, complaints.decode()[-2000:]
    seen = json.loads(told)
    assert seen["logins"] == ["urn:xmpp:sasl:2"], seen
    # Nothing lost, nothing twice, and nobody logged in again.
    assert heard(seen["phone"], "heard") == [ARCHIVED[0], *ARCHIVED[2:5]], seen
    assert heard(seen["desk"], "heard") == [ARCHIVED[1], ARCHIVED[5]], seen
    assert seen["phone"].count("connected") == 1 and "resume-failed" not in seen["phone"], seen
    assert heard(seen["laptop"], "archived") == ARCHIVED and seen["pages"] == 3, seen


def heard(seen, kind):
    return [line.removeprefix(f"{kind} ") for line in seen if line.startswith(f"{kind} ")]
