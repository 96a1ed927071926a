//! The engine: streams, sessions, hubs and the keeper as actors.
//!
//! # The life of a stanza
//!
//! ```text
//! Stream(phone)   bytes -> reader (limits) -> stanza                    --Received-->
//! Session(phone)  stamps `from`, makes the receipt                      --Outgoing-->
//! Hub(alice)      admit stamp keep copy (out), then the router          --Incoming-->
//! Hub(bob)        admit stamp keep copy deliver after (in); one frame holds both archive
//!                 rows and what keeps the delivery until bob's device
//!                 acknowledges it         --Deliver--> Session(laptop) --Write--> Stream
//! Keeper          one sync for all frames that wait; then the receipts are settled:
//!                 Session(phone) has handled up to n
//! ```
//!
//! A [`receipt`] travels with each stanza and is settled by the one actor that takes final care of
//! it: after the disk for what must last, after routing for the rest. It is the XEP-0198 `h`, the
//! durability promise, the loss report and the back-pressure at once.
//!
//! # The life of a session
//!
//! A session that can be resumed outlives its stream, its Hub and the server. Its rows lie
//! together in `Tree::Sessions`: who it is, how many of its client's stanzas were handled, what was
//! delivered and is not acknowledged. A stanza leaves its [mark](receipt::Mark) in the very frame
//! that takes care of it, so the count is never behind what was done. When the server has started
//! again, sessions that can be resumed wait for their clients; the others end as if their lines had
//! broken. A client that comes too late is told how much of what it sent was handled. Where all
//! sessions of an account wait, for a while or since the start, they are no more than their rows
//! until something comes for them ([`sleepers`]).
//!
//! While its user does not look at it, what need not last and can wait is held for it in the Hub,
//! before it has a number, until something comes that cannot.
//!
//! # Other servers
//!
//! A stanza for an address elsewhere goes to the [`link`] of the two domains, which takes final
//! care of it as a recipient's Hub does: its outbox row, the sender's rows and the mark of the
//! receipt are one frame. The Link calls the other server when there is something to say; a
//! [`stream`] of its own, the *line*, finds it, secures the connection, proves who we are and
//! writes. Rows go when the other server has acknowledged, or has answered a question behind them.
//! What comes from another server is admitted by its stream for the domains proved there, and goes
//! to the router with a receipt of the stream's own ledger. The ledger outlives its stream, and
//! what it counted the server ([`peers::sessions`]): a line that broke goes on where it stopped.
//!
//! # Components
//!
//! A program that speaks for a domain of its own, such as a bridge, connects by itself
//! (XEP-0114) and is known to the [`site`] by [`components`]. What it is sent goes to a Link of its
//! own, which is led to its [`stream`] while it is there; a ping behind what was written tells that
//! it was read. What it says is admitted for its domain, as another server's is.
//!
//! # The actors
//!
//! | Actor | one per | owns, alone | if it dies |
//! |---|---|---|---|
//! | [`registry`] | server | births and deaths | the server stops |
//! | [`listener`] | port | its socket | started again after a second |
//! | [`stream`] | connection | transport, reader, negotiation | the client comes back |
//! | [`session`] | full JID | counts of XEP-0198; outlives its stream | the stream closes |
//! | [`hub`] | bare JID or domain | presence, roster, extensions' state | reborn; sessions stay |
//! | [`link`] | our domain and theirs | the outbox, when to call | reborn; the outbox stays |
//! | [`keeper`] | server | the disk | the server stops |
//!
//! A Hub is of an account, of a [service](service) or what is at one, or of a domain itself: one
//! shell round three structs that decide.
//!
//! Other servers are found by the [`resolver`] and connected with by [`dial`], where [`reach`] lets
//! it.
//!
//! An actor is a shell round a plain struct that decides. The structs know no actor, thread or
//! clock: their answer is a list of [`effect`]s, which the shell performs. [`extension`] is all
//! that an optional feature needs to know.
//!
//! # What is not there
//!
//! No actor keeps a Hub's address ([`directory`]). No handler awaits a reply. No stanza is without
//! a receipt, or an explicit none. No acknowledgement comes before the disk. No optional XEP is
//! known here.

pub mod abroad;
pub mod accounts;
pub mod admin;
pub mod clients;
pub mod components;
pub mod dial;
pub mod directory;
pub mod effect;
pub mod engine;
pub mod extension;
pub mod fence;
pub mod flows;
pub mod gate;
pub mod hub;
pub mod keeper;
pub mod keys;
pub mod lane;
mod lifeline;
pub mod link;
pub mod listener;
pub mod lookalike;
pub mod messages;
pub mod notices;
pub mod owners;
pub mod peer_tls;
pub mod peers;
pub mod reach;
pub mod realm;
pub mod receipt;
pub mod registry;
pub mod resolver;
pub mod roll;
mod router;
pub mod service;
pub mod session;
pub mod site;
pub mod sleepers;
pub mod stream;
#[cfg(test)]
mod testing;
pub mod topic;
pub mod trace;
pub mod transport;
