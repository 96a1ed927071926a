//! What administrators may see of accounts, read in pages: ten thousand accounts cost some dozens
//! of reads, and none of them holds up the others for long.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use rookery_protocol::jid::Jid;
use rookery_storage::record::decode;
use rookery_storage::{KeyRange, Tree};
use smol_str::SmolStr;
use tokio::sync::oneshot;
use tracing::error;

use super::Realm;
use crate::accounts::{Account, unread};
use crate::admin::{Failure, User};
use crate::effect::{Query, Row};
use crate::hub::account::{last_key, read_last};
use crate::keys::AccountId;
use crate::messages::{Mail, Order};

/// Accounts that are read at once: a reader is taken for some milliseconds, and the rows in memory
/// are bounded.
const PAGE: usize = 512;

/// The resources of an account, and whether its user is at each.
type Resources = Vec<(String, bool)>;

impl Realm {
    /// All accounts of a domain, or of all, in the order of their addresses.
    pub(super) async fn users(
        self: &Arc<Realm>,
        domain: Option<&str>,
    ) -> Result<Vec<User>, Failure> {
        let living = self.living(domain);
        let (mut users, mut from) = (Vec::new(), Vec::new());
        loop {
            let page = Query::Range {
                tree: Tree::Accounts,
                range: KeyRange { from, to: None },
                limit: PAGE,
                backwards: false,
            };
            let rows = self.keeper.rows(vec![page]).await.ok_or_else(unread)?;
            let (read, last) = (rows.len(), rows.last().map(|(key, _)| key.clone()));
            users.extend(self.seen(rows, domain, &living).await?);
            match last {
                // The least key behind the last one.
                Some(last) if read == PAGE => from = [last.as_slice(), &[0]].concat(),
                _ => return Ok(users),
            }
        }
    }

    /// Those of them who have a session; no others are read.
    pub(super) async fn online(
        self: &Arc<Realm>,
        domain: Option<&str>,
    ) -> Result<Vec<User>, Failure> {
        let living = self.living(domain);
        let mut keys: Vec<_> = living.iter().cloned().collect();
        keys.sort_unstable();
        let mut users = Vec::new();
        for page in keys.chunks(PAGE) {
            let get = |key: &SmolStr| Query::Get(Tree::Accounts, key.as_bytes().to_vec());
            let queries = page.iter().map(get).collect();
            let rows = self.keeper.rows(queries).await.ok_or_else(unread)?;
            users.extend(self.seen(rows, domain, &living).await?);
        }
        users.retain(|user| !user.resources.is_empty());
        Ok(users)
    }

    /// One account.
    pub(super) async fn user(self: &Arc<Realm>, jid: &Jid) -> Result<User, Failure> {
        let get = Query::Get(Tree::Accounts, jid.as_str().as_bytes().to_vec());
        let row = self.keeper.rows(vec![get]).await.ok_or_else(unread)?;
        let living = HashSet::from([SmolStr::new(jid.as_str())]);
        let mut users = self.seen(row, None, &living).await?;
        users.pop().ok_or(Failure::Absent)
    }

    /// The accounts of a domain, or of all, whose Hubs live, or that sleep.
    pub(super) fn living(&self, domain: Option<&str>) -> HashSet<SmolStr> {
        let keys = self.directory.keys().into_iter();
        let keys = keys.chain(self.directory.sleepers.keys());
        keys.filter(|key| is_of(key, domain)).collect()
    }

    /// Rows of accounts with what else there is to see of them, of those of a domain.
    async fn seen(
        self: &Arc<Realm>,
        rows: Vec<Row>,
        domain: Option<&str>,
        living: &HashSet<SmolStr>,
    ) -> Result<Vec<User>, Failure> {
        let accounts: Vec<_> = rows.into_iter().filter_map(read).collect();
        let accounts = accounts.iter().filter(|(jid, _)| is_of(jid, domain));
        let last = |id: u32| last_key(AccountId(id));
        let queries = accounts
            .clone()
            .map(|(_, account)| Query::Get(Tree::Account, last(account.id)));
        let left = self.keeper.rows(queries.collect()).await;
        let left: HashMap<_, _> = left.ok_or_else(unread)?.into_iter().collect();
        let here = accounts.clone().map(|(jid, _)| jid.as_str());
        let mut here = self
            .resources(here.filter(|jid| living.contains(*jid)))
            .await;
        let user = |(jid, account): &(String, Account)| {
            let resources = here.remove(jid.as_str()).unwrap_or_default();
            User {
                jid: jid.clone(),
                disabled: account.disabled,
                created: account.created,
                last_seen: left
                    .get(&last(account.id))
                    .and_then(|value| Some(read_last(value)?.stamp)),
                active: resources.iter().any(|(_, active)| *active),
                resources: resources.into_iter().map(|(name, _)| name).collect(),
            }
        };
        Ok(accounts.map(user).collect())
    }

    /// Asks the Hubs that live, all at once; a question that one drops means none.
    async fn resources<'a>(
        self: &Arc<Realm>,
        accounts: impl Iterator<Item = &'a str>,
    ) -> HashMap<String, Resources> {
        let mut asked = Vec::new();
        for account in accounts {
            let Ok(jid) = Jid::parse(account) else {
                continue;
            };
            let (answer, resources) = oneshot::channel();
            let order = Mail::Order(Order::Resources(answer));
            self.post(&jid, order, false);
            asked.push((account.to_owned(), resources));
        }
        let mut heard = HashMap::new();
        for (account, resources) in asked {
            heard.insert(account, resources.await.unwrap_or_default());
        }
        heard
    }
}

/// One that cannot be read is told to the operator; the others are shown all the same.
fn read((key, value): Row) -> Option<(String, Account)> {
    let jid = String::from_utf8(key).ok()?;
    match decode::<Account>(&value) {
        Ok(account) => Some((jid, account)),
        Err(problem) => {
            error!(%jid, %problem, "the row of an account cannot be read");
            None
        }
    }
}

fn is_of(jid: &str, domain: Option<&str>) -> bool {
    let of = jid.split_once('@').map(|(_, of)| of);
    of.is_some_and(|of| domain.is_none_or(|domain| domain == of))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::PAGE;
    use crate::admin::{Command, Outcome};
    use crate::testing::{World, jid, run, settings};

    #[test]
    fn ten_thousand_accounts_are_listed_in_pages() {
        run(async {
            let count = 20 * PAGE + 3;
            let users = (0..count).map(|number| format!("u{number:05}"));
            let world = World::with(settings(), users, &[]);
            let ann = world.online("u00007", "a").await;
            let list = Command::ListUsers(None);
            let reads = || world.realm().keeper.asked.load(Ordering::Relaxed);
            let before = reads();
            let (Outcome::Users(users), _) = world.realm().administer(list).await else {
                panic!("no list")
            };
            assert_eq!(reads() - before, 2 * 21, "two a page");
            let names: Vec<_> = users.iter().map(|user| user.jid.as_str()).collect();
            let expected: Vec<_> = (0..count).map(|it| format!("u{it:05}@test")).collect();
            assert_eq!(names, expected);
            assert_eq!(
                (&*users[7].resources, users[7].active),
                (&["a".into()][..], true)
            );
            assert!(users[8].resources.is_empty());
            let before = reads();
            let online = Command::OnlineUsers(Some("test".to_owned()));
            let (Outcome::Users(users), _) = world.realm().administer(online).await else {
                panic!("no list")
            };
            assert_eq!(users.len(), 1);
            assert_eq!(reads() - before, 2, "no others are read");
            let (elsewhere, _) = {
                let list = Command::ListUsers(Some("other".to_owned()));
                world.realm().administer(list).await
            };
            assert!(matches!(elsewhere, Outcome::Users(users) if users.is_empty()));
            drop(ann);
            world.end().await;
        });
    }

    #[test]
    fn what_the_disk_does_not_give_is_not_told_as_absent() {
        run(async {
            let world = World::new(&["ann"], &[]);
            world.spoil_reads(true);
            for command in [
                Command::ListUsers(None),
                Command::UserRoster(jid("ann@test")),
            ] {
                let (outcome, _) = world.realm().administer(command).await;
                let Outcome::Failed(failure) = outcome else {
                    panic!("{outcome:?}")
                };
                assert!(failure.to_string().contains("cannot be read"), "{failure}");
            }
            world.spoil_reads(false);
            world.end().await;
        });
    }
}
