//! The clients of an account, each by the name that it gives its installation (XEP-0388 §2.3):
//! what they say of themselves, and which tokens they hold (XEP-0484). One row for each.
//!
//! No row holds a token: a token is derived from the server's secret, which lies elsewhere, and
//! from what stands here.

use rookery_protocol::negotiation::client::{Admission, By, ClientId};
use rookery_protocol::sasl::{Failure, HELD, Hash, HeldToken, Token, TokenId, TokenMechanism};
use rookery_storage::record::Record;
use serde::{Deserialize, Serialize};

use crate::admin;
use crate::effect::Millis;
use crate::keys::{self, AccountId, Kind};

/// Stands for a client within its account; what it is made of cannot be read off it.
#[derive(Serialize, Deserialize, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub struct ClientKey([u8; 16]);

/// The record of a client.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
pub struct Known {
    software: Option<String>,
    device: Option<String>,
    first_seen: Millis,
    /// When it logged in last.
    last_seen: Millis,
    /// It has logged in with the password that is still the account's.
    password: bool,
    /// The token it was given last and has not used yet.
    fresh: Option<Slot>,
    /// The token it uses.
    current: Option<Slot>,
}

impl Record for Known {
    const VERSION: u8 = 1;
}

/// All of a token but itself.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
struct Slot {
    id: [u8; 16],
    mechanism: Mechanism,
    issued: Millis,
    expiry: Millis,
    /// The highest count that came with it.
    count: Option<u32>,
    /// Kept until it expires, so that who holds it is told to log in otherwise.
    revoked: bool,
}

/// [`TokenMechanism`] as it is stored; never reorder.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq)]
enum Mechanism {
    Exporter,
    EndPoint,
    Unbound,
}

/// For how long tokens are good.
#[derive(Clone, Copy, Debug)]
pub struct Lifetimes {
    pub now: Millis,
    /// From the day it is given, in milliseconds.
    pub token: Millis,
    /// After which one in use is replaced.
    pub rotation: Millis,
}

/// A client was let in.
#[derive(Debug, PartialEq)]
pub struct Admitted {
    /// The id and the expiry of a new token for it.
    pub issued: Option<(TokenId, Millis)>,
    /// Something of it must be on the disk before it is told.
    pub lasting: bool,
}

impl ClientKey {
    /// The key of a client.
    pub fn of(id: &ClientId) -> ClientKey {
        let digest = Hash::Sha256.digest(id.0.as_bytes());
        let mut key = [0; 16];
        key.copy_from_slice(&digest[..16]);
        ClientKey(key)
    }

    /// Stands for a session of a client that did not say which it is.
    pub fn nameless(resource: &str) -> ClientKey {
        ClientKey::of(&ClientId(format!("resource:{resource}").into()))
    }

    /// As users and administrators see it.
    pub fn text(self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The key of its row.
    pub fn row(self, account: AccountId) -> Vec<u8> {
        keys::row(account, Kind::CLIENT, &self.0)
    }

    /// The client of a row's key.
    pub fn of_row(key: &[u8]) -> Option<ClientKey> {
        let (_, kind, rest) = keys::split(key)?;
        (kind == Kind::CLIENT).then_some(ClientKey(rest.try_into().ok()?))
    }

    /// The token of that id.
    pub fn token(self, secret: &[u8], account: AccountId, id: TokenId) -> Token {
        Token::derive(secret, &[&account.0.to_be_bytes(), &self.0, &id.0])
    }

    /// What makes its resource its own, the same each time (XEP-0386 §4.2.1).
    pub fn resource(self, secret: &[u8], account: AccountId) -> String {
        rookery_protocol::sasl::pseudonym(secret, &[&account.0.to_be_bytes(), &self.0])
    }
}

impl Known {
    /// One that was never here.
    pub fn new(now: Millis) -> Known {
        Known {
            first_seen: now,
            ..Known::default()
        }
    }

    /// The tokens it may hold, as SASL wants them.
    pub fn held(
        &self,
        key: ClientKey,
        secret: &[u8],
        account: AccountId,
        now: Millis,
    ) -> Vec<HeldToken> {
        let held = |slot: &Slot| HeldToken {
            id: TokenId(slot.id),
            token: key.token(secret, account, TokenId(slot.id)),
            mechanism: slot.mechanism.into(),
            void: slot.is_void(now),
            count: slot.count,
        };
        self.slots().take(HELD).map(held).collect()
    }

    /// Notes a client that has proved who it is, and does what it wants of its tokens. `id` is for
    /// a new one, if there is to be one. A token is looked at again: meanwhile it may have been
    /// revoked, or used elsewhere.
    pub fn admit(
        &mut self,
        admission: &Admission,
        id: [u8; 16],
        times: Lifetimes,
    ) -> Result<Admitted, Failure> {
        let (mut lasting, mut due) = (false, None);
        match admission.by {
            By::Password => lasting |= !std::mem::replace(&mut self.password, true),
            By::Token {
                id,
                count,
                invalidate,
            } => {
                let slot = self.find(id).ok_or(Failure::CredentialsExpired)?;
                slot.check(count, times.now)?;
                let (mechanism, issued) = (slot.mechanism, slot.issued);
                // XEP-0484 §3.5: now that it has the new one, the old one is good no more.
                let renewed = self.fresh.as_ref().is_some_and(|slot| slot.id == id.0);
                if renewed {
                    self.current = self.fresh.take();
                }
                lasting |= renewed || count.is_some() || invalidate;
                if let Some(slot) = self.current.as_mut().filter(|_| count.is_some()) {
                    slot.count = count;
                }
                if invalidate {
                    // §3.6: it logs out, so it holds no other either.
                    self.slots_mut().for_each(|slot| slot.revoked = true);
                } else if times.now.saturating_sub(issued) >= times.rotation {
                    due = Some(mechanism.into());
                }
            }
        }
        self.last_seen = times.now;
        self.software.clone_from(&admission.agent.software);
        self.device.clone_from(&admission.agent.device);
        let issued = admission.request.or(due).map(|mechanism| {
            let expiry = times.now + times.token;
            self.fresh = Some(Slot {
                id,
                mechanism: mechanism.into(),
                issued: times.now,
                expiry,
                count: None,
                revoked: false,
            });
            (TokenId(id), expiry)
        });
        lasting |= issued.is_some();
        Ok(Admitted { issued, lasting })
    }

    /// Its tokens are good no more, and its password is another's word: what it held before lets
    /// it in no longer.
    pub fn revoke(&mut self) {
        self.password = false;
        self.slots_mut().for_each(|slot| slot.revoked = true);
    }

    /// Whether it may know the password.
    pub fn knows_password(&self) -> bool {
        self.password
    }

    /// Whether it could log in again by what it has.
    pub fn has_access(&self, now: Millis) -> bool {
        self.password || self.has_token(now)
    }

    /// Whether its row says nothing that anybody could still want.
    pub fn is_stale(&self, now: Millis, forget: Millis) -> bool {
        let expired = self.slots().all(|slot| slot.expiry <= now);
        expired && (!self.password || self.last_seen + forget <= now)
    }

    /// By what clients are forgotten first: those without access, then those not seen for longest.
    pub fn worth(&self, now: Millis) -> (bool, Millis) {
        (self.has_access(now), self.last_seen)
    }

    /// For users and administrators.
    pub fn shown(&self, key: ClientKey, connected: bool, now: Millis) -> admin::Client {
        admin::Client {
            id: key.text(),
            connected,
            first_seen: self.first_seen,
            last_seen: self.last_seen,
            password: self.password,
            token: self.has_token(now),
            software: self.software.clone(),
            device: self.device.clone(),
        }
    }

    fn has_token(&self, now: Millis) -> bool {
        self.slots().any(|slot| !slot.is_void(now))
    }

    fn slots(&self) -> impl Iterator<Item = &Slot> {
        self.fresh.iter().chain(&self.current)
    }

    fn slots_mut(&mut self) -> impl Iterator<Item = &mut Slot> {
        self.fresh.iter_mut().chain(&mut self.current)
    }

    fn find(&self, id: TokenId) -> Option<&Slot> {
        self.slots().find(|slot| slot.id == id.0)
    }
}

impl Slot {
    fn is_void(&self, now: Millis) -> bool {
        self.revoked || self.expiry <= now
    }

    fn check(&self, count: Option<u32>, now: Millis) -> Result<(), Failure> {
        if self.is_void(now) {
            return Err(Failure::CredentialsExpired);
        }
        match (count, self.count) {
            (Some(count), Some(last)) if count <= last => Err(Failure::NotAuthorized),
            _ => Ok(()),
        }
    }
}

impl From<Mechanism> for TokenMechanism {
    fn from(mechanism: Mechanism) -> TokenMechanism {
        match mechanism {
            Mechanism::Exporter => TokenMechanism::Exporter,
            Mechanism::EndPoint => TokenMechanism::EndPoint,
            Mechanism::Unbound => TokenMechanism::Unbound,
        }
    }
}

impl From<TokenMechanism> for Mechanism {
    fn from(mechanism: TokenMechanism) -> Mechanism {
        match mechanism {
            TokenMechanism::Exporter => Mechanism::Exporter,
            TokenMechanism::EndPoint => Mechanism::EndPoint,
            TokenMechanism::Unbound => Mechanism::Unbound,
        }
    }
}

#[cfg(test)]
mod tests;
