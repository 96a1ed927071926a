"""One run of nbxmpp, Gajim's library, driven by with_nbxmpp.py in the Python that has it: two
devices of alice and one of bob do what their arguments allow, then what they saw is told as one
line of JSON.

    python nbxmpp_run.py SETTINGS"""

import json
import sys
import time

from gi.repository import Gio, GLib
from nbxmpp.client import Client
from nbxmpp.const import ConnectionProtocol, ConnectionType
from nbxmpp.namespaces import Namespace
from nbxmpp.protocol import JID, Iq, Message, Presence
from nbxmpp.structs import DiscoIdentity, StanzaHandler, TuneData

settings = json.loads(sys.argv[1])
loop = GLib.MainContext.default()


def until(found, what):
    """What `found` gives once it gives something; the library works meanwhile."""
    end = time.monotonic() + settings["patience"]
    # The loop wakes now and then even when nothing happens.
    ticking = GLib.timeout_add(50, lambda: True)
    while not (value := found()):
        if time.monotonic() > end:
            sys.exit(f"in vain: {what}")
        loop.iteration(True)
    GLib.source_remove(ticking)
    return value


class Device:
    def __init__(self, user, resource, topics=()):
        self.name = resource
        self.seen = []
        self.client = client = Client(resource)
        client.set_domain(settings["domain"])
        client.set_username(user)
        client.set_password(settings["passwords"][user])
        client.set_resource(resource)
        client.set_custom_host(f"127.0.0.1:{settings['port']}", ConnectionProtocol.TCP,
                               ConnectionType.START_TLS)
        client.set_accepted_certificates(
            [Gio.TlsCertificate.new_from_file(settings["certificate"])])
        identity = DiscoIdentity(category="client", type="pc", name="run")
        client.get_module("EntityCaps").set_caps(
            [identity], [f"{topic}+notify" for topic in topics], "urn:example:run")
        for signal in ("connected", "resume-successful", "resume-failed", "disconnected",
                       "connection-failed"):
            client.subscribe(signal, lambda *_, signal=signal: self.seen.append(signal))
        client.register_handler(StanzaHandler("message", self._message, priority=60))

    def _message(self, _client, stanza, properties):
        if properties.is_mam_message:
            kind = "archived"
        elif properties.is_carbon_message:
            kind = f"copy {properties.carbon.type}"
        elif properties.is_pubsub_event:
            kind = f"published {properties.pubsub_event.data.title}"
        else:
            kind = "heard"
        self.seen.append(f"{kind} {stanza.getBody() or ''}".strip())

    def sees(self, what):
        until(lambda: what in self.seen, f"{self.name} sees {what}; only {self.seen}")

    def ask(self, iq):
        answers = []
        self.client.send_stanza(iq, callback=lambda _, answer, **more: answers.append(answer))
        answer = until(lambda: answers, f"an answer to {iq}")[0]
        assert not answer.isError(), str(answer)

    def done(self, module, task, *rest, **more):
        """The result of one of the library's tasks."""
        results = []

        def finished(task):  # the library holds it weakly
            results.append(task.finish())

        getattr(self.client.get_module(module), task)(*rest, callback=finished, **more)
        return until(lambda: results, task)[0]

    def arrive(self):
        self.client.connect()
        self.sees("connected")
        caps = self.client.get_module("EntityCaps").caps
        presence = Presence()
        presence.setTag("c", namespace=Namespace.CAPS, attrs=caps._asdict())
        self.client.send_stanza(presence)

    def say(self, to, body):
        self.client.send_stanza(Message(to=to, body=body, typ="chat"))

    def break_line(self):
        self.client._con._con.get_socket().shutdown(True, True)
        self.sees("disconnected")

    def leave(self):
        self.client.disconnect()
        self.sees("disconnected")


def address(device):
    return device.client.get_bound_jid()


phone, bob = Device(settings["alice"], "phone"), Device(settings["bob"], "desk")
laptop = Device(settings["alice"], "laptop", topics=[Namespace.TUNE])
people = (phone, laptop, bob)
for device in people:
    device.arrive()
logins = {device.client._sasl._sasl_ns for device in people}

for device in (phone, laptop):
    enable = Iq("set")
    enable.setTag("enable", namespace=Namespace.CARBONS)
    device.ask(enable)
bob.say(str(address(phone)), "to the phone")
phone.sees("heard to the phone")
laptop.sees("copy received to the phone")
phone.say(address(bob).bare, "from the phone")
bob.sees("heard from the phone")
laptop.sees("copy sent from the phone")

phone.done("Tune", "set_tune", TuneData(artist="Owls", title="Night Flight"))
laptop.sees("published Night Flight")

phone.break_line()
for number in range(3):
    bob.say(str(address(phone)), f"into the dark {number}")
phone.client.connect()
phone.sees("resume-successful")
phone.sees("heard into the dark 2")
phone.say(address(bob).bare, "there again")
bob.sees("heard there again")

# Reads its archive page by page, as a client that comes back does.
last, pages = None, 0
while True:
    page = laptop.done("MAM", "make_query", JID.from_string(address(laptop).bare), "reading",
                       after=last, with_=address(bob).bare, max_=2)
    pages += 1
    if page.complete:
        break
    last = page.rsm.last

for device in people:
    device.leave()
print(json.dumps({"logins": sorted(logins), "pages": pages,
                  **{device.name: device.seen for device in people}}))
