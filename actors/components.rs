//! External components (XEP-0114): which there are, what each may do, and where it is at the
//! moment. No actor.
//!
//! A component speaks for every address at its domain. What it is sent waits in the outbox of a
//! [Link](crate::link) of its own, which goes on when it is here.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use actix::prelude::*;
use arc_swap::{ArcSwap, ArcSwapOption};
use parking_lot::Mutex;
use rookery_protocol::dialback::Pair;
use rookery_protocol::error::{StreamCondition, StreamError};
use rookery_protocol::negotiation::component::{Known, Secret};
use smol_str::SmolStr;

use crate::messages::ToStream;

/// Components that a server may have.
pub const MOST: usize = 256;

/// A component that may connect.
#[derive(Debug)]
pub struct Component {
    /// Its domain, prepared.
    pub name: SmolStr,
    /// What it may do beyond speaking for its own domain, in a word that extensions know; empty:
    /// nothing.
    pub rights: SmolStr,
    secret: Secret,
    /// Its stream, while it is connected.
    line: ArcSwapOption<Line>,
}

#[derive(Debug)]
struct Line {
    number: u64,
    stream: Recipient<ToStream>,
}

/// The components of a server.
#[derive(Default)]
pub struct Components {
    all: ArcSwap<Vec<Arc<Component>>>,
    /// Whoever changes something waits for his turn.
    turn: Mutex<()>,
    lines: AtomicU64,
}

/// A stream that has a component's stanzas, until it is dropped.
#[derive(Debug)]
pub struct Attached {
    component: Arc<Component>,
    number: u64,
}

impl Component {
    /// A component that is not connected.
    pub fn new(name: SmolStr, secret: Secret, rights: SmolStr) -> Component {
        Component {
            name,
            rights,
            secret,
            line: ArcSwapOption::empty(),
        }
    }

    /// Whether nothing of it is otherwise than with `other`.
    pub fn is(&self, other: &Component) -> bool {
        self.name == other.name && self.rights == other.rights && self.secret.is(&other.secret)
    }

    /// Its stream, while it is connected.
    pub fn stream(&self) -> Option<Recipient<ToStream>> {
        self.line.load().as_ref().map(|line| line.stream.clone())
    }

    /// Whether it is connected.
    pub fn is_here(&self) -> bool {
        self.line.load().is_some()
    }

    /// Whose Link has what waits for it, whoever sent that: order is kept for all of it.
    pub fn pair(&self) -> Pair {
        Pair::new(self.name.clone(), self.name.clone())
    }

    fn close(&self, condition: StreamCondition) {
        if let Some(stream) = self.stream() {
            stream.do_send(ToStream::Close(StreamError::new(condition)));
        }
    }
}

/// Whether this is the pair of a component's Link: no server speaks with itself.
pub fn is_inside(pair: &Pair) -> bool {
    pair.from == pair.to
}

impl Components {
    /// These components.
    pub fn new(all: Vec<Component>) -> Components {
        let components = Components::default();
        for component in all {
            components.put(component);
        }
        components
    }

    /// All of them.
    pub fn all(&self) -> Arc<Vec<Arc<Component>>> {
        self.all.load_full()
    }

    /// The component at `domain` (prepared), if there is one.
    pub fn find(&self, domain: &str) -> Option<Arc<Component>> {
        let all = self.all.load();
        all.iter().find(|it| it.name == domain).cloned()
    }

    /// Whether there is a component at `domain` (prepared).
    pub fn has(&self, domain: &str) -> bool {
        self.all.load().iter().any(|it| it.name == domain)
    }

    /// Who may connect, and by which secret.
    pub fn known(&self) -> Vec<Known> {
        let all = self.all.load();
        let known = all.iter().map(|it| Known {
            name: it.name.clone(),
            secret: it.secret.clone(),
        });
        known.collect()
    }

    /// Adds a component, or puts it in the place of the one of this name, whose stream ends with
    /// `reset`: the secret or the rights are others now. `false`: there are too many.
    pub fn put(&self, component: Component) -> bool {
        let _turn = self.turn.lock();
        let mut all = Vec::clone(&self.all.load());
        let place = all.iter().position(|it| it.name == component.name);
        if place.is_none() && all.len() >= MOST {
            return false;
        }
        let earlier = place.map(|place| all.swap_remove(place));
        all.push(Arc::new(component));
        all.sort_by(|one, other| one.name.cmp(&other.name));
        self.all.store(Arc::new(all));
        if let Some(earlier) = earlier {
            earlier.close(StreamCondition::Reset);
        }
        true
    }

    /// Takes a component out; its stream ends with `host-gone`. `false`: there is none.
    pub fn remove(&self, name: &str) -> bool {
        let _turn = self.turn.lock();
        let all = self.all.load();
        let Some(gone) = all.iter().find(|it| it.name == name) else {
            return false;
        };
        let rest = all.iter().filter(|it| it.name != name).cloned().collect();
        self.all.store(Arc::new(rest));
        gone.close(StreamCondition::HostGone);
        true
    }

    /// Leads the stanzas of the component `name` to `stream`.
    ///
    /// # Errors
    /// `conflict` while another stream has them, which is asked whether it is still there: who
    /// comes back after a lost connection gets in with his next try. `host-unknown` where there is
    /// no such component any more.
    pub fn attach(&self, name: &str, stream: Recipient<ToStream>) -> Result<Attached, StreamError> {
        let _turn = self.turn.lock();
        let component = self.find(name).ok_or(StreamCondition::HostUnknown)?;
        if let Some(other) = component.stream() {
            other.do_send(ToStream::Doubt);
            return Err(StreamCondition::Conflict.into());
        }
        let number = self.lines.fetch_add(1, Ordering::Relaxed);
        component
            .line
            .store(Some(Arc::new(Line { number, stream })));
        Ok(Attached { component, number })
    }
}

impl Attached {
    /// The component.
    pub fn component(&self) -> &Arc<Component> {
        &self.component
    }
}

impl Drop for Attached {
    /// No lock is taken; a later stream of the component stays.
    fn drop(&mut self) {
        let current = self.component.line.load();
        if current.as_ref().is_some_and(|it| it.number == self.number) {
            self.component.line.compare_and_swap(&*current, None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Nobody;
    impl Actor for Nobody {
        type Context = Context<Nobody>;
    }
    impl Handler<ToStream> for Nobody {
        type Result = ();
        fn handle(&mut self, _: ToStream, _: &mut Context<Nobody>) {}
    }

    fn component(name: &str) -> Component {
        let secret = Secret::new("s").expect("a secret");
        Component::new(name.into(), secret, SmolStr::default())
    }

    #[test]
    fn one_stream_has_a_component_at_a_time() {
        actix_rt::System::new().block_on(async {
            let all = Components::new(vec![component("a.test"), component("b.test")]);
            let stream = || Nobody.start().recipient();
            let first = all.attach("a.test", stream()).expect("it is free");
            assert!(all.attach("b.test", stream()).is_ok());
            let refused = all.attach("a.test", stream()).expect_err("a conflict");
            assert_eq!(refused.condition, StreamCondition::Conflict);
            let unknown = all.attach("c.test", stream()).expect_err("unknown");
            assert_eq!(unknown.condition, StreamCondition::HostUnknown);
            let seat = Arc::clone(&first.component);
            drop(first);
            assert!(!seat.is_here());
            // A guard that comes late takes nothing from its successor.
            let late = Attached {
                component: Arc::clone(&seat),
                number: 0,
            };
            let second = all.attach("a.test", stream()).expect("it is free");
            drop(late);
            assert!(seat.is_here());
            drop(second);
            assert!(!seat.is_here());
        });
    }

    #[test]
    fn there_are_only_so_many() {
        let all = Components::default();
        for number in 0..MOST {
            assert!(all.put(component(&format!("{number}.test"))));
        }
        assert!(!all.put(component("more.test")));
        // In the place of another there is room.
        assert!(all.put(component("7.test")) && all.remove("8.test"));
        assert!(all.put(component("more.test")) && !all.remove("8.test"));
        assert_eq!(all.all().len(), MOST);
    }
}
