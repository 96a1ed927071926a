//! tokio-xmpp behind a pipe: orders come in as lines of JSON, what happens goes out as lines of
//! JSON. One process is one login.
//!
//!     {"do": "log in", "jid": …, "password": …, "tls": "starttls", "port": …, "plus": true}

mod door;

use std::io::{BufRead, Write};
use std::str::FromStr;

use futures::StreamExt;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_xmpp::jid::{BareJid, Jid};
use tokio_xmpp::minidom::Element;
use tokio_xmpp::parsers::blocking::{Block, BlocklistRequest, BlocklistResult, Unblock};
use tokio_xmpp::parsers::ibr::{LegacyQuery, RemoveQuery};
use tokio_xmpp::parsers::iq::Iq;
use tokio_xmpp::parsers::message::{Lang, Message, MessageType};
use tokio_xmpp::parsers::ns;
use tokio_xmpp::parsers::presence::{Presence, Type};
use tokio_xmpp::parsers::roster::Roster;
use tokio_xmpp::xmlstream::Timeouts;
use tokio_xmpp::{Client, Event, IqRequest, IqResponse, Stanza};

use door::Door;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let _ = tokio_xmpp::rustls::crypto::ring::default_provider().install_default();
    let mut orders = orders();
    let Some(login) = orders.recv().await else {
        return;
    };
    let jid = Jid::from_str(word(&login, "jid")).expect("an address");
    let password = word(&login, "password").to_owned();
    let door = Door {
        direct: word(&login, "tls") == "direct",
        port: login["port"].as_u64().expect("a port"),
        plus: login["plus"] == true,
    };
    // The client tries again and again by itself, and never tells what the server said.
    match door.knock(&jid, &password).await {
        Ok(mechanism) => tell(json!({"event": "let in", "mechanism": mechanism})),
        Err(why) => return tell(json!({"event": "refused", "why": why})),
    }
    let user = jid.node().map(|node| node.to_string());
    let mut client = Client::new_with_connector(jid, password, door, Timeouts::default());
    loop {
        tokio::select! {
            event = client.next() => match event {
                Some(event) => happened(&mut client, event).await,
                None => return tell(json!({"event": "ended"})),
            },
            order = orders.recv() => match order {
                Some(order) if word(&order, "do") != "leave" => {
                    obey(&mut client, &order, user.as_deref()).await;
                }
                _ => {
                    let _ = client.send_end().await;
                    return tell(json!({"event": "left"}));
                }
            },
        }
    }
}

/// Lines of the input, read on a thread of their own.
fn orders() -> mpsc::UnboundedReceiver<Value> {
    let (sender, receiver) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            let order = serde_json::from_str(&line).expect("an order in JSON");
            if sender.send(order).is_err() {
                return;
            }
        }
    });
    receiver
}

fn tell(what: Value) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{what}").and_then(|()| out.flush());
}

fn word<'a>(order: &'a Value, key: &str) -> &'a str {
    order[key].as_str().unwrap_or_default()
}

async fn obey(client: &mut Client, order: &Value, user: Option<&str>) {
    let to = || BareJid::from_str(word(order, "to")).expect("an address");
    match word(order, "do") {
        "available" => {
            let mut presence = Presence::available();
            presence.set_status("", word(order, "status"));
            send(client, presence.into()).await;
        }
        "subscribe" => send(client, Presence::subscribe().with_to(to()).into()).await,
        "approve" => send(client, Presence::subscribed().with_to(to()).into()).await,
        "say" => {
            let message = Message::chat(Jid::from(to()));
            let message = message.with_body(Lang::default(), word(order, "body").into());
            send(client, message.into()).await;
        }
        "contacts" => {
            let query = Roster {
                ver: None,
                items: Vec::new(),
            };
            let answer = ask(client, IqRequest::Get(query.into())).await;
            let items = answer.map(|it| Roster::try_from(it.expect("a roster")).expect("a roster"));
            answered(items.map(|roster| {
                let contact = |item: &tokio_xmpp::parsers::roster::Item| {
                    let state = Element::from(item.clone());
                    (
                        item.jid.to_string(),
                        json!(state.attr("subscription").unwrap_or("none")),
                    )
                };
                Value::Object(roster.items.iter().map(contact).collect())
            }));
        }
        "blocked" => {
            let answer = ask(client, IqRequest::Get(BlocklistRequest.into())).await;
            let list = |it: Option<Element>| BlocklistResult::try_from(it.expect("a list"));
            let text = |items: Vec<Jid>| items.iter().map(Jid::to_string).collect::<Vec<_>>();
            answered(answer.map(|it| json!(text(list(it).expect("a list").items))));
        }
        "block" => {
            let items = vec![to().into()];
            act(client, Block { items }.into()).await
        }
        "unblock" => {
            let items = vec![to().into()];
            act(client, Unblock { items }.into()).await
        }
        "change password" => {
            let query = LegacyQuery {
                username: user.map(Into::into),
                password: Some(word(order, "password").into()),
                ..LegacyQuery::default()
            };
            act(client, query.into()).await;
        }
        "delete account" => act(client, RemoveQuery { remove: true }.into()).await,
        other => panic!("no such order: {other}"),
    }
}

async fn send(client: &mut Client, stanza: Stanza) {
    client.send_stanza(stanza).await.expect("a connection");
}

/// A set whose answer holds nothing.
async fn act(client: &mut Client, payload: Element) {
    let answer = ask(client, IqRequest::Set(payload)).await;
    answered(answer.map(|_| Value::Null));
}

/// The answer's payload, or the condition of an error. The library reads on meanwhile.
async fn ask(client: &mut Client, request: IqRequest) -> Result<Option<Element>, String> {
    match client.send_iq(None, request).await.await {
        Ok(IqResponse::Result(payload)) => Ok(payload),
        Ok(IqResponse::Error(error)) => Err(format!("{:?}", error.defined_condition)),
        Err(failure) => Err(failure.to_string()),
    }
}

fn answered(answer: Result<Value, String>) {
    tell(match answer {
        Ok(value) => json!({"event": "answer", "value": value}),
        Err(why) => json!({"event": "answer", "error": why}),
    });
}

async fn happened(client: &mut Client, event: Event) {
    match event {
        Event::Online { resumed, .. } => tell(json!({"event": "online", "resumed": resumed})),
        Event::Disconnected(error) => {
            tell(json!({"event": "disconnected", "why": error.to_string()}));
        }
        Event::Stanza(Stanza::Message(message)) => heard(&message),
        Event::Stanza(Stanza::Presence(presence)) => seen(&presence),
        Event::Stanza(Stanza::Iq(Iq::Set { from, id, .. })) => {
            let result = Iq::Result {
                from: None,
                to: from,
                id,
                payload: None,
            };
            send(client, result.into()).await;
        }
        Event::Stanza(Stanza::Iq(_)) => {}
    }
}

fn heard(message: &Message) {
    let payload = |name, ns| message.payloads.iter().find(|it| it.is(name, ns));
    let from = message.from.as_ref().map(|from| from.to_bare().to_string());
    if message.type_ == MessageType::Error {
        let error = payload("error", ns::JABBER_CLIENT);
        let condition = error.and_then(|error| error.children().next().map(Element::name));
        return tell(json!({"event": "error", "from": from, "text": condition}));
    }
    let Some(body) = message.bodies.values().next() else {
        return;
    };
    let delayed = payload("delay", ns::DELAY).is_some();
    tell(json!({"event": "message", "from": from, "text": body, "delayed": delayed}));
}

fn seen(presence: &Presence) {
    let event = match presence.type_ {
        Type::None => "available",
        Type::Unavailable => "unavailable",
        Type::Subscribe => "subscribe",
        Type::Subscribed => "subscribed",
        Type::Unsubscribe => "unsubscribe",
        Type::Unsubscribed => "unsubscribed",
        Type::Error | Type::Probe => return,
    };
    let from = presence
        .from
        .as_ref()
        .map(|from| from.to_bare().to_string());
    let status = presence.statuses.values().next();
    tell(json!({"event": event, "from": from, "text": status}));
}
