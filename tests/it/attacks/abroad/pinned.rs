//! F42: certificates that the DNS names (RFC 7673), as far as it is signed.

use super::super::row::{Row, Stage, must, scene};
use super::{LATE, UNFIT, good, told, unheard, writes};
use crate::authority::{Authority, Leaf};
use crate::client::PATIENCE;
use crate::device::Device;
use crate::elsewhere::Elsewhere;
use crate::names::{NameServer, Row as Record};
use crate::signing::Zone;
use crate::world::World;
use rcgen::PublicKeyData;
use sha2::{Digest, Sha256};

pub fn rows() -> Vec<Row> {
    vec![scene("F42", "certificates that the DNS names", pinned)]
}

/// A server with STARTTLS of which this DNS says that it has this key, if any.
fn server(dns: &NameServer, domain: &str, key: Option<&Leaf>) -> Elsewhere {
    let server = Elsewhere::unknown(domain);
    let (host, port) = (server.host(), server.address.port());
    dns.add(
        &format!("_xmpp-server._tcp.{domain}"),
        Record::Srv(0, 0, port, host),
    );
    server.lives_in(dns);
    if let Some(leaf) = key {
        let hash = Sha256::digest(leaf.key.subject_public_key_info()).to_vec();
        let pin = Record::Tlsa(3, 1, 1, hash.leak());
        dns.add(&format!("_{port}._tcp.{host}"), pin);
    }
    server
}

/// It is believed with this certificate, and hears all.
fn is_told(stage: &Stage, alice: &mut Device, it: &Elsewhere, shown: &Leaf) -> Result<(), String> {
    writes(stage, alice, &it.domain);
    let mut visit = it
        .proved(shown)
        .map_err(|e| format!("{}: {e}", it.domain))?;
    let heard = Elsewhere::id_of_next(&mut visit)?;
    must(heard == "m", || heard)
}

/// It is not, and hears nothing.
fn is_not(stage: &Stage, alice: &mut Device, it: &Elsewhere, shown: &Leaf) -> Result<(), String> {
    writes(stage, alice, &it.domain);
    let mut visit = it.secured(shown)?;
    visit
        .closed(PATIENCE)
        .map_err(|e| format!("{}: {e}", it.domain))?;
    unheard(&visit)?;
    told(alice, "iq", &it.domain, UNFIT);
    told(alice, "message", &it.domain, UNFIT);
    Ok(())
}

fn pinned(stage: &Stage) -> Result<(), String> {
    let zone = Zone::new();
    let anchor = zone.anchor();
    let dns = NameServer::start_with(&[], move |answer| zone.finish(answer));
    let mut plan = Authority::get().certified_plan(&["a.test", "b.test"]);
    plan.more += &format!(
        "[dns]\nservers = [\"{}\"]\nvalidate = true\nanchors = [\"{anchor}\"]\n",
        dns.address
    );
    let world = World::with(plan);
    let stage = &Stage {
        world: &world,
        id: stage.id,
    };
    let mut alice = stage.online("alice");
    let own = Leaf::own(&["whatever"]);

    // The key that is named needs no name, and nobody who vouches for it.
    let it = server(&dns, "named.f42.test", Some(&own));
    is_told(stage, &mut alice, &it, &own)?;
    // Another is refused, whoever vouches for it.
    let it = server(&dns, "other.f42.test", Some(&own));
    is_not(stage, &mut alice, &it, &good(&it.domain))?;
    // Where none is named, authorities count, and the host that is proved to serve the domain.
    let it = server(&dns, "none.f42.test", None);
    is_told(stage, &mut alice, &it, &good(&it.domain))?;
    let it = server(&dns, "host.f42.test", None);
    is_told(stage, &mut alice, &it, &good(it.host()))?;
    let it = server(&dns, "own.f42.test", None);
    is_not(stage, &mut alice, &it, &own)?;

    // What nobody signs names nothing: neither a key, nor a host.
    let it = server(&dns, "named.insecure", Some(&own));
    is_not(stage, &mut alice, &it, &own)?;
    let it = server(&dns, "other.insecure", Some(&own));
    is_told(stage, &mut alice, &it, &good(&it.domain))?;
    let it = server(&dns, "host.insecure", None);
    is_not(stage, &mut alice, &it, &good(it.host()))?;

    // What is signed wrongly may be anybody's: for now nobody is called.
    for domain in ["x.forged", "x.expired", "x.unsigned"] {
        let it = server(&dns, domain, None);
        writes(stage, &mut alice, domain);
        told(&mut alice, "iq", domain, LATE);
        must(!it.is_called(), || format!("{domain} is called"))?;
    }
    Ok(())
}
