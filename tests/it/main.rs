//! Tests from outside: every one starts the real server, opens sockets, says bytes and reads what
//! comes back. `ROOKERY_SUITE_SERVER=prosody` runs them against Prosody, which judges the tests.

mod attacks;
mod authority;
mod caps;
mod client;
mod device;
mod readme;
mod rfc6121;
mod sasl;
mod sasl2;
mod stories;
mod tidy;
mod tls;
mod world;
mod xml;
