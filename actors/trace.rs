//! The whole way to another server, told step by step to whoever runs this one: what the DNS says,
//! every connection that is tried, encryption, certificates, features, and who proves what how. It
//! is gone by the very code that a Link's line goes by, up to where stanzas could be sent; none is.

mod advice;
mod words;

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rookery_protocol::dialback::Pair;
use rookery_protocol::negotiation::peer_out::{Errand, Purpose};
use rookery_protocol::negotiation::{Refusal, Standing};
use rookery_protocol::reader::Event;
use rookery_protocol::targets::{Answer, Target, Tls, dns_name};
use smol_str::SmolStr;
use tokio::sync::oneshot;

use crate::admin::Failure;
use crate::admin::servers::{Step, Trace};
use crate::peer_tls::Verdict;
use crate::peers::{Peers, is_certified};
use crate::realm::Realm;
use crate::resolver::{Family, Resolver};
use crate::roll::clipped;
use crate::stream::Stream;
use crate::stream::peer::{Call, Caller};

/// How long the DNS is asked for no other reason than to be told of.
const LOOKING: Duration = Duration::from_secs(30);
/// How long the whole way may take: the dialling, and then the proofs, each have a bound of their
/// own.
const PATIENCE: Duration = Duration::from_secs(90);
/// Steps that are told; a server that talks without end is not told of for ever.
const STEPS: usize = 200;
/// Bytes of one step.
const STEP: usize = 1_000;

/// Takes down the steps; copies are the same one.
#[derive(Clone)]
pub struct Tracer(Arc<Steps>);

struct Steps {
    began: Instant,
    steps: Mutex<Vec<Step>>,
}

/// The end of a stream that is only traced. Whatever becomes of it, it is told.
pub struct TracersEnd {
    pub tracer: Tracer,
    told: Option<oneshot::Sender<Result<(), Refusal>>>,
}

/// Goes the way to a domain, in the name of one of ours or of the first.
pub(crate) async fn trace(
    realm: &Arc<Realm>,
    to: &str,
    from: Option<&str>,
) -> Result<Trace, Failure> {
    let peers = realm.peers.clone().ok_or(Failure::Alone)?;
    let local = match from {
        Some(from) => Some(SmolStr::new(from)).filter(|it| realm.site.is_here(it)),
        None => realm.site.domains.first().cloned(),
    };
    let local = local.ok_or(Failure::NotOurs)?;
    let pair = Pair::new(local, to);
    let tracer = Tracer::new();
    let end = if realm.site.is_here(to) {
        return Ok(tracer.ended(Some("this server serves the domain itself".into()), None));
    } else if realm.site.blocks(to) {
        Err(Refusal::Blocked)
    } else {
        let resolver = peers.dialer.resolver();
        let looking = look_up(&resolver, to, &tracer);
        if tokio::time::timeout(LOOKING, looking).await.is_err() {
            tracer.note("the DNS takes long: no more is asked for here");
        }
        call(realm, &peers, &pair, &tracer).await
    };
    Ok(match end {
        Ok(()) => tracer.ended(None, None),
        Err(refusal) => {
            let wrong = realm.roll.in_words(to, &refusal);
            tracer.ended(Some(wrong), Some(advice::advice(&refusal, &pair)))
        }
    })
}

/// Calls the server, up to where stanzas could be sent.
async fn call(
    realm: &Arc<Realm>,
    peers: &Arc<Peers>,
    pair: &Pair,
    tracer: &Tracer,
) -> Result<(), Refusal> {
    let external = is_certified(realm, &pair.from);
    let (from, to) = (&pair.from, &pair.to);
    tracer.note(match external {
        true => format!("our own certificate is good for {from}: {to} may go by it"),
        false => format!(
            "our own certificate for {from} is not one that others believe: we depend on dialback"
        ),
    });
    let errand = Errand {
        pair: pair.clone(),
        purpose: Purpose::Send,
        external,
        earlier: None,
    };
    let (told, end) = oneshot::channel();
    let caller = Caller::Tracer(TracersEnd {
        tracer: tracer.clone(),
        told: Some(told),
    });
    let _ = Stream::call(realm, peers, Call { errand, caller });
    match tokio::time::timeout(PATIENCE, end).await {
        Ok(end) => end.unwrap_or(Err(Refusal::Lost)),
        Err(_) => Err(Refusal::Timeout),
    }
}

/// What the DNS says of a domain. The call asks again, of the same memory.
async fn look_up(resolver: &Resolver, to: &str, tracer: &Tracer) {
    let is_chosen = resolver.is_chosen(to);
    if let Some(name) = dns_name(to).filter(|_| !is_chosen) {
        for service in ["_xmpps-server", "_xmpp-server"] {
            let name = format!("{service}._tcp.{name}");
            let answer = resolver.services(&name).await;
            tracer.note(match answer {
                Ok(Answer::Records { records, proved }) => words::records(&name, &records, proved),
                Ok(_) => format!("DNS: {name}: there is no SRV record"),
                Err(why) => format!("DNS: {name}: {why}"),
            });
        }
    }
    let Ok(found) = resolver.targets(to).await else {
        return;
    };
    match (found.is_chosen, found.is_guess) {
        (true, _) => tracer.note("the settings say where the server is ([dns.overrides])"),
        (_, true) => tracer.note("without SRV records, the domain itself is tried on port 5269"),
        _ => {}
    }
    for target in &found.targets {
        addresses(resolver, target, tracer).await;
    }
}

/// The addresses of a target, and the certificates pinned for it.
async fn addresses(resolver: &Resolver, target: &Target, tracer: &Tracer) {
    let mut is_proved = false;
    let mut found = vec![];
    for family in [Family::V6, Family::V4] {
        match resolver.addresses(&target.host, family).await {
            Ok(addresses) => {
                is_proved |= addresses.is_proved;
                found.extend(addresses.ips.iter().map(ToString::to_string));
            }
            Err(why) => tracer.note(format!("DNS: {}: {why}", target.host)),
        }
    }
    tracer.note(words::target(target, &found, is_proved));
    if target.proved && is_proved {
        let name = format!("_{}._tcp.{}", target.port, target.host);
        match resolver.pins(target, true).await {
            Ok(pins) if pins.is_empty() => tracer.note(format!("DNS: {name}: no TLSA record")),
            Ok(pins) => tracer.note(format!(
                "DNS: {name}: {} signed TLSA records: they decide about certificates (DANE)",
                pins.len()
            )),
            Err(why) => tracer.note(format!("DNS: {name}: {why}")),
        }
    }
}

impl Tracer {
    fn new() -> Tracer {
        Tracer(Arc::new(Steps {
            began: Instant::now(),
            steps: Mutex::default(),
        }))
    }

    /// Something happened.
    pub fn note(&self, what: impl Into<String>) {
        let what = clipped(what.into(), STEP);
        let after = self.0.began.elapsed().as_millis() as u64;
        let mut steps = self.0.steps.lock();
        if steps.len() < STEPS {
            steps.push(Step { after, what });
        }
    }

    /// A connection is there.
    pub(crate) fn connected(&self, address: std::net::IpAddr, target: &Target) {
        let Target { host, port, .. } = target;
        self.note(match target.tls {
            Tls::StartTls => format!("connected with {host} port {port} at {address}"),
            Tls::Direct => format!("connected with {host} port {port} at {address}, direct TLS"),
        });
    }

    /// What its certificate is worth.
    pub(crate) fn judged(&self, domain: &str, standing: Standing, proof: &Verdict) {
        self.note(match proof {
            Ok(proof) => words::proof(domain, proof),
            Err(doubt) if standing == Standing::Dialback => {
                format!("{doubt}; for {domain}, dialback suffices by the settings")
            }
            Err(doubt) => doubt.to_string(),
        });
    }

    /// The other server said something.
    pub(crate) fn heard(&self, event: &Event) {
        if let Some(what) = words::heard(event) {
            self.note(what);
        }
    }

    /// We said something.
    pub(crate) fn said(&self, bytes: &[u8]) {
        if let Some(what) = words::said(bytes) {
            self.note(what);
        }
    }

    fn ended(&self, wrong: Option<String>, advice: Option<String>) -> Trace {
        Trace {
            steps: std::mem::take(&mut self.0.steps.lock()),
            wrong,
            advice,
        }
    }
}

impl TracersEnd {
    /// It came about, or did not.
    pub fn tell(&mut self, end: Result<(), Refusal>) {
        if let Some(told) = self.told.take() {
            // Nobody waits any more: fine.
            let _ = told.send(end);
        }
    }
}
