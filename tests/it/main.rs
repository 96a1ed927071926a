//! Tests from outside: every one starts the real server, opens sockets, says bytes and reads what
//! comes back. `ROOKERY_SUITE_SERVER=prosody` runs them against Prosody, which judges the tests.

mod attacks;
mod authority;
mod bridge;
mod caps;
#[path = "../../actors/testing/certificates.rs"]
#[allow(dead_code, reason = "a whole workshop, of which some is needed here")]
mod certificates;
mod client;
mod device;
mod elsewhere;
#[path = "../../actors/testing/dns.rs"]
#[allow(
    dead_code,
    reason = "a whole name server, of which little is needed here"
)]
mod names;
mod readme;
mod rfc6121;
mod sasl;
mod sasl2;
#[path = "../../actors/testing/dns_signing.rs"]
mod signing;
mod stories;
mod tidy;
mod tls;
mod world;
mod xml;
