"""slixmpp at the publish-subscribe service: by the library's own requests, forms and events."""

from slixmpp.exceptions import IqError
from slixmpp.xmlstream import ET

from person import Event
from server import DOMAIN
from with_slixmpp import Slixmpp

SERVICE = f"pubsub.{DOMAIN}"
FORMS = "http://jabber.org/protocol/pubsub"


class Reader(Slixmpp):
    async def log_in(self, tls, plus):
        await super().log_in(tls, plus)
        for number in (4, 30, 59, 60):
            self.client.register_plugin(f"xep_{number:04}")
        for kind in ("publish", "retract", "purge", "delete", "config", "subscription"):
            self.client.add_event_handler(
                f"pubsub_{kind}", lambda message, kind=kind: self.heard(kind, message))
        self.board = self.client.plugin["xep_0060"]

    def heard(self, kind, message):
        event = message["pubsub_event"]
        text = {
            "publish": lambda: event["items"]["item"]["id"],
            "retract": lambda: event["items"]["retract"]["id"],
            "subscription": lambda: event["subscription"]["subscription"],
        }.get(kind, lambda: "")()
        self.happened(Event(kind, message["from"].bare, text))

    def form(self, kind, **fields):
        form = self.client.plugin["xep_0004"].make_form("submit")
        form.add_field(var="FORM_TYPE", ftype="hidden", value=f"{FORMS}#{kind}")
        for name, value in fields.items():
            form.add_field(var=f"pubsub#{name}", value=value)
        return form

    async def refused(self, request, condition):
        try:
            await request
        except IqError as error:
            assert error.condition == condition, error.condition
        else:
            raise AssertionError(f"not refused by {condition}")


async def shared(server):
    """One makes a node, the other reads it; both are told what they ought to be."""
    owner = await Reader(server, await server.account("owns-a-board")).arrive()
    reader = await Reader(server, await server.account("reads-a-board")).arrive()
    mine, his = owner.board, reader.board
    default = await mine.get_node_config(SERVICE)
    values = default["pubsub_owner"]["default"]["form"].get_values()
    assert values["pubsub#access_model"] == "open", values
    await mine.create_node(SERVICE, "owls", config=owner.form(
        "node_config", title="Owls", max_items="2", notify_sub="1", notify_config="1"))
    await his.subscribe(SERVICE, "owls")
    await owner.sees("subscription", SERVICE, "subscribed")
    options = await his.get_subscription_options(SERVICE, "owls", user_jid=reader.address)
    assert options["pubsub"]["options"]["options"].get_values()["pubsub#deliver"] is True
    for name in ("barn", "snowy", "eagle"):
        await mine.publish(SERVICE, "owls", id=name, payload=ET.fromstring("<owl xmlns='urn:o'/>"))
        await reader.sees("publish", SERVICE, name)
    await reader.sees("retract", SERVICE, "barn")
    kept = await his.get_items(SERVICE, "owls")
    assert [item["id"] for item in kept["pubsub"]["items"]] == ["snowy", "eagle"], kept
    found = await his.get_nodes(SERVICE)
    assert (SERVICE, "owls", "Owls") in found["disco_items"]["items"], found
    await reader.refused(his.retract(SERVICE, "owls", "snowy"), "forbidden")
    await mine.modify_affiliations(SERVICE, "owls", [(reader.address, "publisher")])
    await his.retract(SERVICE, "owls", "snowy", notify=True)
    await reader.sees("retract", SERVICE, "snowy")
    # The whole form comes back, as clients send it that show it to people.
    form = (await mine.get_node_config(SERVICE, "owls"))["pubsub_owner"]["configure"]["form"]
    form["type"] = "submit"
    form.set_values({**form.get_values(), "pubsub#title": "All owls"})
    await mine.set_node_config(SERVICE, "owls", form)
    await reader.sees("config", SERVICE)
    await mine.purge(SERVICE, "owls")
    await reader.sees("purge", SERVICE)
    await his.unsubscribe(SERVICE, "owls")
    await owner.sees("subscription", SERVICE, "none")
    await his.subscribe(SERVICE, "owls", options=reader.form("subscribe_options", deliver="1"))
    await mine.delete_node(SERVICE, "owls")
    await reader.sees("delete", SERVICE)
    await reader.refused(his.subscribe(SERVICE, "owls"), "item-not-found")
    for person in (owner, reader):
        await person.leave()
