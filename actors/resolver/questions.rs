//! One question to the name servers, and what is taken of the answer.
//!
//! The aliases on the way are followed here: the resolver's crate, asked for SRV records under an
//! alias, answers that there are none, and does the same of aliases in a circle. Both would look
//! like leave to guess.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rookery_config::settings::{Anchor, Dns, NameServer};
use rookery_protocol::targets::Srv;
use tokio::sync::Semaphore;
use trust_dns_resolver::config::{ConnectionConfig, NameServerConfig, ResolverOpts};
use trust_dns_resolver::net::dnssec::DnssecDnsHandle;
use trust_dns_resolver::net::runtime::TokioRuntimeProvider;
use trust_dns_resolver::net::xfer::{DnsHandle, FirstAnswer};
use trust_dns_resolver::net::{DnsError, NetError, NoRecords, RetryDnsHandle};
use trust_dns_resolver::proto::dnssec::{Algorithm, Proof, PublicKeyBuf, TrustAnchors};
use trust_dns_resolver::proto::op::{
    DnsRequestOptions, Message, MessageType, OpCode, Query, ResponseCode,
};
use trust_dns_resolver::proto::rr::{Name, RData, Record, RecordType};
use trust_dns_resolver::{Hosts, NameServerPool, PoolContext, ResponseCache, TlsConfig, TtlConfig};

use super::{Tlsa, Unresolved};

/// Questions on their way at once, each with a socket of its own, or up to three where the name
/// servers are slow.
pub const QUESTIONS_MAX: usize = 1_024;
/// Records taken of one answer.
const RECORDS_MAX: usize = 256;
/// Records of an answer that is worth remembering.
const REMEMBERED_MAX: usize = 64;
/// Aliases followed for one name.
const ALIASES_MAX: usize = 8;
/// How long it is remembered at most that something is not there.
const NOTHING_MAX: Duration = Duration::from_secs(900);
/// Requests on one TCP connection to a name server.
const PIPELINED_MAX: usize = 512;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// IPv4 addresses.
    A,
    /// IPv6 addresses.
    Aaaa,
    /// Services.
    Srv,
    /// Pins.
    Tlsa,
}

/// An answer: records of the kind asked for, at most [`RECORDS_MAX`], or none where there are none.
#[derive(Clone, Debug, Default)]
pub struct Reply {
    /// The records.
    pub records: Vec<Record>,
    /// Whether DNSSEC proves them, and every alias on the way.
    pub is_proved: bool,
}

type Pool = RetryDnsHandle<NameServerPool<TokioRuntimeProvider>>;

/// The way to the name servers.
enum Servers {
    Trusted(Pool),
    Checked(DnssecDnsHandle<Pool>),
}

/// Who asks.
pub struct Questions {
    servers: Servers,
    hosts: Hosts,
    cache: Option<ResponseCache>,
    room: Semaphore,
    timeout: Duration,
}

impl Questions {
    /// As the settings want it.
    pub fn new(settings: &Dns) -> Questions {
        let mut options = ResolverOpts::default();
        // Two rounds fit into the time; the crate counts those after the first.
        options.timeout = settings.timeout / 2;
        options.attempts = 1;
        options.validate = settings.validate;
        options.max_active_requests = PIPELINED_MAX;
        options.negative_max_ttl = Some(NOTHING_MAX);
        let ttl = TtlConfig::from_opts(&options);
        let is_own = settings.servers.is_empty();
        let servers = match is_own {
            true => own_servers(Path::new("/etc/resolv.conf")),
            false => settings.servers.iter().map(|server| server.0).collect(),
        };
        let servers = servers.into_iter().map(server);
        // Without the TLS of the crate there is nothing that could fail.
        let tls = TlsConfig::new().unwrap_or(TlsConfig {});
        let context = Arc::new(PoolContext::new(options, tls));
        let pool = NameServerPool::from_config(servers, context, TokioRuntimeProvider::default());
        let pool = RetryDnsHandle::new(pool, 1);
        Questions {
            servers: match settings.validate {
                true => {
                    let anchors = Arc::new(anchors(settings));
                    Servers::Checked(DnssecDnsHandle::with_trust_anchor(pool, anchors))
                }
                false => Servers::Trusted(pool),
            },
            hosts: match is_own {
                true => Hosts::from_system().unwrap_or_default(),
                false => Hosts::default(),
            },
            cache: (settings.cache > 0).then(|| ResponseCache::new(settings.cache, ttl)),
            room: Semaphore::new(QUESTIONS_MAX),
            timeout: settings.timeout,
        }
    }

    /// Asks for records of a name without a dot at its end.
    pub async fn ask(&self, name: &str, kind: Kind) -> Result<Reply, Unresolved> {
        let name = Name::from_ascii(format!("{name}.")).map_err(|_| Unresolved::NoName)?;
        let query = Query::query(name, kind.record_type());
        if let Some(known) = self.hosts.lookup_static_host(&query) {
            return chain(known.answers(), &query).map(Chain::into_reply);
        }
        if let Some(known) = self.remembered(&query) {
            return known;
        }
        let _place = self.room.try_acquire().map_err(|_| Unresolved::TooMany)?;
        let late = |_| Unresolved::NotNow("the name servers do not answer in time".into());
        let followed = tokio::time::timeout(self.timeout, self.follow(&query));
        followed.await.map_err(late)?
    }

    /// Asks, and asks on where an alias leads.
    async fn follow(&self, query: &Query) -> Result<Reply, Unresolved> {
        let mut answers: Vec<Record> = vec![];
        let mut at = query.name.clone();
        for _ in 0..=ALIASES_MAX {
            let asked = Query::query(at.clone(), query.query_type);
            match self.send(asked).await? {
                Response::Answers(records) => answers.extend(records),
                Response::Nothing(seconds) => {
                    self.remember_nothing(query, seconds);
                    return Ok(Reply::default());
                }
            }
            let chain = chain(&answers, query)?;
            if !chain.records.is_empty() || chain.end == at {
                let reply = chain.into_reply();
                self.remember(query, answers);
                return Ok(reply);
            }
            at = chain.end;
        }
        Err(circle())
    }

    /// One request and its answer.
    async fn send(&self, query: Query) -> Result<Response, Unresolved> {
        let mut options = DnsRequestOptions::default();
        let answer = match &self.servers {
            Servers::Trusted(pool) => pool.lookup(query, options).first_answer().await,
            Servers::Checked(pool) => {
                options.edns_set_dnssec_ok = true;
                pool.lookup(query, options).first_answer().await
            }
        };
        read(answer.map(|response| response.into_message()))
    }

    fn remembered(&self, query: &Query) -> Option<Result<Reply, Unresolved>> {
        let known = self.cache.as_ref()?.get(query, Instant::now())?;
        Some(match known {
            Ok(message) => chain(&message.answers, query).map(Chain::into_reply),
            Err(_) => Ok(Reply::default()),
        })
    }

    /// Keeps what an answer says, for as long as it says.
    fn remember(&self, query: &Query, answers: Vec<Record>) {
        if let Some(cache) = self.cache.as_ref()
            && answers.len() <= REMEMBERED_MAX
        {
            let mut message = Message::new(0, MessageType::Response, OpCode::Query);
            message.add_query(query.clone());
            message.add_answers(answers);
            cache.insert(query.clone(), Ok(message), Instant::now());
        }
    }

    /// Keeps that nothing is there, where it was said for how long (RFC 2308 §5).
    fn remember_nothing(&self, query: &Query, seconds: Option<u32>) {
        if let Some((cache, seconds)) = self.cache.as_ref().zip(seconds) {
            let mut none = NoRecords::new(query.clone(), ResponseCode::NoError);
            none.negative_ttl = Some(seconds);
            cache.insert(query.clone(), Err(none.into()), Instant::now());
        }
    }
}

impl Kind {
    fn record_type(self) -> RecordType {
        match self {
            Kind::A => RecordType::A,
            Kind::Aaaa => RecordType::AAAA,
            Kind::Srv => RecordType::SRV,
            Kind::Tlsa => RecordType::TLSA,
        }
    }
}

/// The address in a record.
pub fn ip(record: &Record) -> Option<IpAddr> {
    record.data.ip_addr()
}

/// The service in a record.
pub fn srv(record: &Record) -> Option<Srv> {
    let RData::SRV(srv) = &record.data else {
        return None;
    };
    let target = srv.target.to_lowercase().to_ascii();
    Some(Srv {
        priority: srv.priority,
        weight: srv.weight,
        port: srv.port,
        target: target.strip_suffix('.').unwrap_or(&target).into(),
    })
}

/// The pin in a record.
pub fn tlsa(record: &Record) -> Option<Tlsa> {
    let RData::TLSA(tlsa) = &record.data else {
        return None;
    };
    Some(Tlsa {
        usage: tlsa.cert_usage.into(),
        selector: tlsa.selector.into(),
        matching: tlsa.matching.into(),
        data: tlsa.cert_data.clone(),
    })
}

/// The keys that prove the root.
fn anchors(settings: &Dns) -> TrustAnchors {
    if settings.anchors.is_empty() {
        return TrustAnchors::default();
    }
    let mut anchors = TrustAnchors::empty();
    for Anchor { algorithm, key } in &settings.anchors {
        anchors.insert(&PublicKeyBuf::new(
            key.clone(),
            Algorithm::from_u8(*algorithm),
        ));
    }
    anchors
}

/// The name servers of this machine; the one at home if none are named (resolv.conf(5)).
fn own_servers(file: &Path) -> Vec<SocketAddr> {
    let text = fs::read_to_string(file).unwrap_or_default();
    let address = |line: &str| {
        let address = line.trim_start().strip_prefix("nameserver")?;
        let server: Result<NameServer, _> = address.trim().parse();
        server.ok().map(|server| server.0)
    };
    let named: Vec<SocketAddr> = text.lines().filter_map(address).collect();
    match named.is_empty() {
        true => vec![(Ipv4Addr::LOCALHOST, 53).into()],
        false => named,
    }
}

/// A name server by UDP, and by TCP for what is too long.
fn server(address: SocketAddr) -> NameServerConfig {
    let on_port = |mut connection: ConnectionConfig| {
        connection.port = address.port();
        connection
    };
    let connections = vec![
        on_port(ConnectionConfig::udp()),
        on_port(ConnectionConfig::tcp()),
    ];
    NameServerConfig::new(address.ip(), true, connections)
}

/// What came back.
enum Response {
    Answers(Vec<Record>),
    /// Nothing is there; for how many seconds this holds.
    Nothing(Option<u32>),
}

/// Whether an answer says something, says that there is nothing, or is none.
fn read(answer: Result<Message, NetError>) -> Result<Response, Unresolved> {
    let forged = || Unresolved::NotNow("the signatures of its DNS records are wrong".into());
    match answer {
        Ok(message) => {
            let code = message.response_code;
            if !matches!(code, ResponseCode::NoError | ResponseCode::NXDomain) {
                return Err(Unresolved::NotNow(refusal(code)));
            }
            let mut all = message.answers.iter();
            if all.any(|record| record.proof.is_bogus()) {
                return Err(forged());
            }
            let soa = message.authorities.iter().find_map(|record| {
                let RData::SOA(soa) = &record.data else {
                    return None;
                };
                Some(record.ttl.min(soa.minimum))
            });
            Ok(match message.answers.is_empty() {
                true => Response::Nothing(soa),
                false => Response::Answers(message.answers),
            })
        }
        Err(NetError::Dns(DnsError::NoRecordsFound(none))) => match none.response_code {
            ResponseCode::NoError | ResponseCode::NXDomain => {
                Ok(Response::Nothing(none.negative_ttl))
            }
            code => Err(Unresolved::NotNow(refusal(code))),
        },
        // Proved to be unprovable: as good as no signatures at all.
        Err(NetError::Dns(DnsError::Nsec {
            proof: Proof::Insecure,
            ..
        })) => Ok(Response::Nothing(None)),
        Err(NetError::Dns(DnsError::Nsec { .. } | DnsError::DnssecBogus)) => Err(forged()),
        Err(error) => Err(Unresolved::NotNow(words(&error))),
    }
}

/// What became of a question, in plain words.
fn words(error: &NetError) -> String {
    match error {
        NetError::Timeout => "the name servers do not answer in time".into(),
        NetError::NoConnections => "there is no name server to ask".into(),
        NetError::Io(error) => format!("the name servers cannot be reached: {error}"),
        NetError::Dns(DnsError::ResponseCode(code)) => refusal(*code),
        NetError::Truncated => "its DNS records do not fit into an answer".into(),
        other => format!("the DNS gives no answer: {other}"),
    }
}

fn refusal(code: ResponseCode) -> String {
    format!("the name servers answer with an error: {code}")
}

fn circle() -> Unresolved {
    Unresolved::NotNow("its aliases in the DNS lead in a circle".into())
}

/// The records of a name behind its aliases.
struct Chain {
    records: Vec<Record>,
    /// The last name that the aliases lead to.
    end: Name,
    is_proved: bool,
}

impl Chain {
    fn into_reply(self) -> Reply {
        Reply {
            is_proved: self.is_proved && !self.records.is_empty(),
            records: self.records,
        }
    }
}

/// Goes along the aliases as far as these answers know them.
fn chain(answers: &[Record], query: &Query) -> Result<Chain, Unresolved> {
    let mut end = query.name.clone();
    let mut is_proved = true;
    for _ in 0..=ALIASES_MAX {
        let here = answers.iter().filter(|record| record.name == end);
        let of_kind = here.clone().filter(|r| r.record_type() == query.query_type);
        let records: Vec<Record> = of_kind.take(RECORDS_MAX).cloned().collect();
        let alias = here.clone().find_map(|record| match &record.data {
            RData::CNAME(next) => Some((next.0.clone(), record.proof)),
            _ => None,
        });
        match alias {
            Some((next, proof)) if records.is_empty() => {
                is_proved &= proof.is_secure();
                end = next;
            }
            _ => {
                let all = records.iter().all(|record| record.proof.is_secure());
                let is_proved = is_proved && all;
                return Ok(Chain {
                    records,
                    end,
                    is_proved,
                });
            }
        }
    }
    Err(circle())
}

#[cfg(test)]
mod tests;
