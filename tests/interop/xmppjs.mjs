// One run of xmpp.js (npm), driven by tests/interop/with_xmppjs.py: logs in with what it is given,
// says what it saw as one line of JSON, leaves. What it remembers between runs is in that line.

import { client, xml } from "@xmpp/client";

const { service, domain, username, password, token, agent, resource } = JSON.parse(process.argv[2]);
const seen = { mechanisms: [], failures: [], token: token ?? null, restarts: -1, heard: [] };

const person = client({
  service,
  domain,
  resource,
  credentials: { username, password },
  userAgent: xml("user-agent", { id: agent }, xml("software", {}, "xmpp.js")),
});
person.timeout = 30_000; // machines have slow moments
person.reconnect.delay = 100;
person.fast.fetchToken = async () => seen.token;
person.fast.saveToken = async (given) => void (seen.token = given);
person.fast.deleteToken = async () => void (seen.token = null);
person.on("open", () => seen.restarts++);
person.on("send", (el) => el.name === "authenticate" && seen.mechanisms.push(el.attrs.mechanism));
person.on("nonza", (el) => el.name === "failure" && seen.failures.push(el.children[0].name));
person.on("error", (error) => seen.failures.push(String(error)));

const online = new Promise((resolve) => person.once("online", resolve));
await person.start();
seen.jid = (await online).toString();

// A session it is: what one sends oneself arrives, and the server answers.
const echo = new Promise((resolve) => {
  person.on("stanza", (el) => el.is("message") && resolve(el.getChildText("body")));
});
await person.send(xml("presence"));
await person.send(xml("message", { to: seen.jid, type: "chat" }, xml("body", {}, "to myself")));
seen.heard.push(await echo);
const list = await person.iqCaller.request(
  xml("iq", { type: "get" }, xml("list", "urn:xmpp:cam:0")),
);
seen.clients = list.getChild("clients").getChildren("client").map((el) => el.attrs.id);

// The network blinks: the session goes on, by itself, with the same login.
const resumed = new Promise((resolve) => person.streamManagement.once("resumed", resolve));
person.socket.socket.destroy();
await resumed;
seen.resumed = person.jid.toString();
await person.iqCaller.request(
  xml("iq", { type: "get", to: domain }, xml("ping", "urn:xmpp:ping")),
);

await person.stop();
console.log(JSON.stringify(seen));
process.exit(0);
