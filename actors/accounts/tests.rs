//! Accounts: their numbers, names and credentials, over a real store.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use super::*;
use crate::keeper::Fatal;
use crate::testing::{PATIENCE, run};

fn known(id: u32) -> Known {
    Known {
        id: AccountId(id),
        disabled: false,
    }
}

#[test]
fn who_looks_like_somebody_here_is_known_until_the_last_of_them_is_gone() {
    let mut names = Names::default();
    names.insert("bill@a.test".into(), known(1));
    names.insert("b1ll@a.test".into(), known(2));
    assert!(names.looks_known("bi.ll@a.test"));
    assert!(!names.looks_known("bill@b.test"), "another domain");
    names.remove("bill@a.test");
    names.remove("bill@a.test");
    assert!(names.looks_known("bi.ll@a.test"));
    names.remove("b1ll@a.test");
    assert!(!names.looks_known("bi.ll@a.test") && names.looks.is_empty());
}

fn none() -> Accounts {
    Accounts::load(&Store::temporary()).expect("no accounts")
}

/// Runs so many derivations, of which every other one is forgotten by whoever asked; answers
/// how many ran at once.
async fn most_at_once(accounts: Arc<Accounts>, count: usize) -> usize {
    let (running, most) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    let mut asked = Vec::new();
    for number in 0..count {
        let (accounts, running) = (Arc::clone(&accounts), Arc::clone(&running));
        let most = Arc::clone(&most);
        let work = move || {
            most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            // Until as many run as may, and then long enough for one more to be seen.
            let patience = Instant::now() + PATIENCE;
            while most.load(Ordering::SeqCst) < DERIVATIONS as u32 && Instant::now() < patience {
                std::thread::yield_now();
            }
            std::thread::sleep(Duration::from_millis(10));
            running.fetch_sub(1, Ordering::SeqCst);
        };
        let asks = actix_rt::spawn(async move { accounts.derive(work).await });
        asked.push((number, asks));
    }
    // The first have begun.
    let patience = Instant::now() + PATIENCE;
    while most.load(Ordering::SeqCst) == 0 && Instant::now() < patience {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    for (number, asks) in asked {
        match number % 2 {
            0 => asks.abort(),
            _ => assert_eq!(asks.await.expect("it ends"), Some(())),
        }
    }
    most.load(Ordering::SeqCst) as usize
}

/// Of two numbers that are given away at once the later one is written later, so that a server
/// that starts again, when both accounts are gone, knows of both.
#[test]
fn a_number_is_never_given_away_again() {
    let store = Store::temporary();
    let accounts = Accounts::load(&store).expect("no accounts");
    let (keeper, idle) = Keeper::new(Arc::new(store), 1);
    let tell = Box::new(|_: &str, _, _| {});
    let fatal: Fatal = Arc::new(|reason| panic!("{reason}"));
    keeper.start(idle, tell, fatal).expect("threads");
    let (comes, other) = std::sync::mpsc::channel();
    let number = |slowly: &dyn Fn()| {
        let make = |_| {
            slowly();
            Ok(Frame::new())
        };
        let (id, _) = accounts.allocate(&keeper, make).expect("a number");
        id.0
    };
    std::thread::scope(|scope| {
        let first = scope.spawn(|| {
            number(&|| {
                comes.send(()).expect("the other listens");
                // Time for the other to overtake.
                std::thread::sleep(Duration::from_millis(50));
            })
        });
        other.recv().expect("the first has its number");
        assert_eq!(number(&|| ()), 2);
        assert_eq!(first.join().expect("it ends"), 1);
    });
    let written = run_to_end(keeper.committed(Frame::new()));
    assert_eq!(written, Committed::Durable);
    let again = Accounts::load(keeper.store()).expect("no accounts");
    let given = again.allocate(&keeper, |_| Ok(Frame::new()));
    assert_eq!(given.expect("a number").0, AccountId(3));
    keeper.stop();
}

/// What a future answers.
fn run_to_end<T>(future: impl Future<Output = T>) -> T {
    actix_rt::System::new().block_on(future)
}

#[test]
fn two_derivations_run_at_once_whoever_waits_for_them() {
    run(async {
        assert_eq!(most_at_once(Arc::new(none()), 24).await, DERIVATIONS);
    });
}

#[test]
fn who_comes_when_too_many_wait_is_told_at_once() {
    run(async {
        let accounts = Arc::new(none());
        let (let_go, held) = std::sync::mpsc::channel::<()>();
        let held = Arc::new(parking_lot::Mutex::new(held));
        let asking = Arc::new(AtomicU32::new(0));
        let mut asked = Vec::new();
        for _ in 0..DERIVATIONS + DERIVATIONS_WAITING {
            let (accounts, held) = (Arc::clone(&accounts), Arc::clone(&held));
            let asking = Arc::clone(&asking);
            let work = move || held.lock().recv().unwrap_or_default();
            asked.push(actix_rt::spawn(async move {
                asking.fetch_add(1, Ordering::SeqCst);
                accounts.derive(work).await
            }));
        }
        // Each asks in the turn in which it counts, on this thread.
        while asking.load(Ordering::SeqCst) < (DERIVATIONS + DERIVATIONS_WAITING) as u32 {
            tokio::task::yield_now().await;
        }
        let refused = accounts.derive(|| ()).await;
        drop(let_go);
        assert_eq!(refused, None);
        for asks in asked {
            assert_eq!(asks.await.expect("it ends"), Some(()));
        }
        assert_eq!(accounts.derive(|| ()).await, Some(()));
    });
}
