//! What the store has to do when clients log in and out: one client's rows are changed by one at
//! a time, and what must last is on the disk before anybody is told.

use std::sync::Arc;

use rookery_protocol::error::{StreamCondition, StreamError};
use rookery_protocol::jid::Jid;
use rookery_protocol::negotiation::client::{Admission, ClientId, Issued};
use rookery_protocol::sasl::{self, Failure, Lookup};
use rookery_storage::record::{decode, encode};
use rookery_storage::{Frame, Tree};
use smol_str::SmolStr;
use tokio::sync::oneshot;

use super::{After, Realm};
use crate::accounts::Account;
use crate::admin;
use crate::clients::{ClientKey, Known, Lifetimes};
use crate::effect::{Millis, Query, Row};
use crate::keeper::{Committed, Tell};
use crate::keys::{self, AccountId, Kind};
use crate::messages::{Mail, Order};
use crate::receipt::Receipt;
use crate::site::random;

impl Realm {
    /// What SASL must know of an account, and of the client that comes with a token. As much is
    /// read for accounts and clients that do not exist.
    pub async fn lookup(&self, account: &Jid, client: Option<&ClientId>) -> Lookup {
        let id = self.accounts.id(account.as_str()).unwrap_or(AccountId(0));
        let key = client.map(ClientKey::of);
        let own = Query::Get(Tree::Accounts, account.as_str().as_bytes().to_vec());
        let of_client = key.map(|key| Query::Get(Tree::Account, key.row(id)));
        let queries = std::iter::once(own).chain(of_client).collect();
        let Some(rows) = self.keeper.rows(queries).await else {
            return Lookup::Unavailable;
        };
        let is_own = |row: &&Row| row.0 == account.as_str().as_bytes();
        let found = rows.iter().find(is_own);
        let Some(found) = found.and_then(|(_, value)| decode::<Account>(value).ok()) else {
            return Lookup::Absent;
        };
        let known = key.and_then(|key| {
            let row = key.row(AccountId(found.id));
            let (_, value) = rows.iter().find(|(key, _)| *key == row)?;
            Some((key, decode::<Known>(value).ok()?))
        });
        let held = |(key, known): (ClientKey, Known)| {
            known.held(key, &*self.secret, AccountId(found.id), self.site.now())
        };
        Lookup::Found(sasl::Account {
            credentials: found.credentials,
            disabled: found.disabled,
            tokens: known.map(held).unwrap_or_default(),
        })
    }

    /// Lets a client in that says which it is. Only what must last is waited for.
    pub async fn admit(&self, admission: Admission) -> Result<Option<Issued>, Failure> {
        let settings = &self.site.settings.clients;
        let by_password = admission.by == rookery_protocol::negotiation::client::By::Password;
        if settings.remembered == 0 {
            return Ok(None);
        }
        let _turn = self.accounts.turn(&admission.account).await;
        let unavailable = Failure::TemporaryAuthFailure;
        // Removed meanwhile.
        let id = self.accounts.id(admission.account.as_str());
        let id = id.ok_or(Failure::NotAuthorized)?;
        let key = ClientKey::of(&admission.client);
        let times = Lifetimes {
            now: self.site.now(),
            token: settings.token_lifetime.as_millis() as Millis,
            rotation: settings.token_rotation.as_millis() as Millis,
        };
        let row = vec![Query::Get(Tree::Account, key.row(id))];
        let found = self.keeper.rows(row).await.ok_or(unavailable)?;
        let found = found
            .first()
            .and_then(|(_, value)| decode::<Known>(value).ok());
        let mut frame = match found {
            Some(_) => Frame::new(),
            None => self.room(id, times.now).await.ok_or(unavailable)?,
        };
        let mut known = found.unwrap_or_else(|| Known::new(times.now));
        let admitted = known.admit(&admission, random(), times)?;
        let value = encode(&known).map_err(|_| unavailable)?;
        frame.put(Tree::Account, key.row(id), value);
        if !admitted.lasting {
            self.keeper.commit(frame, Receipt::none(), Tell::Nobody);
            return Ok(None);
        }
        match self.keeper.committed(frame).await {
            Committed::Durable => Ok(admitted.issued.map(|(token, expiry)| Issued {
                token: key.token(&*self.secret, id, token),
                expiry,
            })),
            // A full disk keeps nobody out who has the password.
            Committed::Refused if by_password => Ok(None),
            Committed::Refused => Err(unavailable),
        }
    }

    /// The clients of an account that could log in, or are logged in now; `None`: no account.
    pub(super) async fn clients(&self, jid: &Jid) -> Option<Vec<admin::Client>> {
        let id = self.accounts.id(jid.as_str())?;
        let connected = self.connected(jid).await;
        let now = self.site.now();
        let known = self.known(id).await?.into_iter();
        let shown = known.filter_map(|(key, known)| {
            let here = connected.iter().any(|(it, ..)| *it == key);
            (here || known.has_access(now)).then(|| known.shown(key, here, now))
        });
        let mut shown: Vec<_> = shown.collect();
        shown.extend(connected.into_iter().filter_map(nameless));
        shown.sort_by_key(|client| std::cmp::Reverse(client.last_seen));
        Some(shown)
    }

    /// Takes a client's tokens from it and ends its sessions. `Ok(true)`: it may know the password.
    pub(super) async fn revoke(
        self: &Arc<Realm>,
        jid: &Jid,
        client: &str,
    ) -> Result<(bool, After), admin::Failure> {
        let _turn = self.accounts.turn(jid).await;
        let id = self.accounts.id(jid.as_str());
        let id = id.ok_or(admin::Failure::Absent)?;
        let known = self.known(id).await.ok_or(admin::Failure::Busy)?;
        let found = known.into_iter().find(|(key, _)| key.text() == client);
        let (key, password) = match found {
            Some((key, mut known)) => {
                let password = known.knows_password();
                known.revoke();
                let mut frame = Frame::new();
                put(&mut frame, id, key, &known)?;
                if self.keeper.committed(frame).await == Committed::Refused {
                    return Err(admin::Failure::Store("the disk is full".to_owned()));
                }
                (key, password)
            }
            None => {
                let connected = self.connected(jid).await.into_iter();
                let mut connected = connected.map(|(key, ..)| key);
                let found = connected.find(|key| key.text() == client);
                (found.ok_or(admin::Failure::NoClient)?, true)
            }
        };
        let error = StreamError::new(StreamCondition::NotAuthorized);
        let order = Order::EndClient(key, error);
        Ok((password, After::order(jid.clone(), order)))
    }

    /// All of the account's clients must prove who they are anew: rows for the frame that makes it
    /// so. The caller has the account's turn.
    pub(crate) async fn revocations(&self, jid: &Jid) -> Result<Frame, admin::Failure> {
        let id = self.accounts.id(jid.as_str());
        let id = id.ok_or(admin::Failure::Absent)?;
        let mut frame = Frame::new();
        for (key, mut known) in self.known(id).await.ok_or(admin::Failure::Busy)? {
            known.revoke();
            put(&mut frame, id, key, &known)?;
        }
        Ok(frame)
    }

    /// Rows to delete so that there is room for one client more: those that nobody wants, and
    /// beyond the bound the ones that were not seen for longest.
    async fn room(&self, id: AccountId, now: Millis) -> Option<Frame> {
        let settings = &self.site.settings.clients;
        let forget = settings.forget.as_millis() as Millis;
        let (stale, mut rest): (Vec<_>, Vec<_>) = self
            .known(id)
            .await?
            .into_iter()
            .partition(|(_, known)| known.is_stale(now, forget));
        rest.sort_by_key(|(_, known)| known.worth(now));
        let over = (rest.len() + 1).saturating_sub(settings.remembered);
        let mut frame = Frame::new();
        for (key, _) in stale.into_iter().chain(rest.drain(..over.min(rest.len()))) {
            frame.delete(Tree::Account, key.row(id));
        }
        Some(frame)
    }

    /// The clients that are here now, as [`Order::Clients`] has them.
    async fn connected(&self, jid: &Jid) -> Vec<(ClientKey, Millis, Option<SmolStr>)> {
        let (answer, connected) = oneshot::channel();
        // Only a living Hub has sessions; a dropped question means none.
        let _ = (self.directory).send(jid.as_str(), Mail::Order(Order::Clients(answer)));
        connected.await.unwrap_or_default()
    }

    async fn known(&self, id: AccountId) -> Option<Vec<(ClientKey, Known)>> {
        let all = Query::Range {
            tree: Tree::Account,
            range: keys::all_of(id, Kind::CLIENT),
            limit: usize::MAX,
            backwards: false,
        };
        let rows = self.keeper.rows(vec![all]).await?.into_iter();
        let read =
            |(key, value): Row| Some((ClientKey::of_row(&key)?, decode::<Known>(&value).ok()?));
        Some(rows.filter_map(read).collect())
    }
}

/// A session of a client that did not say which it is, as one that has the password.
fn nameless((key, since, resource): (ClientKey, Millis, Option<SmolStr>)) -> Option<admin::Client> {
    Some(admin::Client {
        id: key.text(),
        connected: true,
        first_seen: since,
        last_seen: since,
        password: true,
        token: false,
        software: None,
        device: Some(resource?.to_string()),
    })
}

fn put(
    frame: &mut Frame,
    id: AccountId,
    key: ClientKey,
    known: &Known,
) -> Result<(), admin::Failure> {
    let value = encode(known).map_err(|error| admin::Failure::Store(error.to_string()))?;
    frame.put(Tree::Account, key.row(id), value);
    Ok(())
}

#[cfg(test)]
mod tests;
