//! Another server, as a Link sees it: it takes what comes, answers when it is told to, and can be
//! out of reach.

use std::sync::Arc;

use actix::prelude::*;
use parking_lot::Mutex;
use rookery_protocol::stanza::Stanza;

use crate::link::{Roads, Wish};
use crate::messages::{FromLine, Sequel, ToStream};
use crate::realm::Realm;
use rookery_protocol::dialback::Pair;
use rookery_protocol::negotiation::Refusal;

/// How it meets who calls.
#[derive(Clone)]
pub enum Mood {
    /// It takes stanzas, and acknowledges those it is told to.
    Takes,
    /// It takes stanzas and acknowledges none: it has no XEP-0198.
    TakesOnly,
    /// The same, and it resumes sessions: with so many that it had.
    Remembers(Option<u32>),
    /// It is called and says nothing.
    Silent,
    /// It cannot be reached.
    Away(Refusal),
}

/// Another server.
pub struct Far {
    state: Arc<Mutex<State>>,
}

struct State {
    mood: Mood,
    calls: Vec<Pair>,
    heard: Vec<Stanza>,
    /// How much of that in sessions that went on from an earlier line.
    resumed: usize,
    /// The last line.
    line: Option<(u32, Recipient<FromLine>)>,
}

impl Far {
    /// A server in this mood.
    pub fn new(mood: Mood) -> Arc<Far> {
        let state = State {
            mood,
            calls: Vec::new(),
            heard: Vec::new(),
            resumed: 0,
            line: None,
        };
        Arc::new(Far {
            state: Arc::new(Mutex::new(state)),
        })
    }

    /// From now on it is like this.
    pub fn turn(&self, mood: Mood) {
        self.state.lock().mood = mood;
    }

    /// The ids of what it heard.
    pub fn heard(&self) -> Vec<String> {
        let state = self.state.lock();
        let ids = state.heard.iter().filter_map(|it| it.id.as_ref());
        ids.map(ToString::to_string).collect()
    }

    /// How much it heard in sessions that went on from an earlier line.
    pub fn heard_again(&self) -> usize {
        self.state.lock().resumed
    }

    /// How often it was called.
    pub fn calls(&self) -> usize {
        self.state.lock().calls.len()
    }

    /// It says that it has so many more.
    pub fn acknowledge(&self, count: usize) {
        self.say(|line| FromLine::Acked { line, count });
    }

    /// The line breaks.
    pub fn hang_up(&self) {
        let refusal = Some(Refusal::Lost);
        self.say(|line| FromLine::Down { line, refusal });
    }

    fn say(&self, news: impl FnOnce(u32) -> FromLine) {
        let line = self.state.lock().line.clone();
        let (number, link) = line.expect("it was called");
        link.do_send(news(number));
    }
}

impl Roads for Far {
    fn call(&self, _: &Arc<Realm>, wish: Wish) -> Recipient<ToStream> {
        let Wish { number, link, .. } = wish;
        let mut state = self.state.lock();
        state.calls.push(wish.pair);
        let up = |acks, sequel| FromLine::Up {
            line: number,
            acks,
            sequel,
        };
        let mut goes_on = false;
        let news = match &state.mood {
            Mood::Takes => Some(up(true, Sequel::default())),
            Mood::TakesOnly => Some(up(false, Sequel::default())),
            Mood::Remembers(had) => {
                let (had, resumed) = (had.filter(|_| wish.earlier.is_some()), had.is_some());
                let resumed = resumed && wish.earlier.is_some();
                goes_on = resumed;
                let id = (!resumed).then(|| "session".into());
                Some(up(true, Sequel { had, resumed, id }))
            }
            Mood::Silent => None,
            Mood::Away(refusal) => Some(FromLine::Down {
                line: number,
                refusal: Some(refusal.clone()),
            }),
        };
        if let Some(news) = news {
            link.do_send(news);
        }
        state.line = Some((number, link.clone()));
        let line = FarLine {
            state: Arc::clone(&self.state),
            number,
            link,
            goes_on,
        };
        line.start().recipient()
    }
}

/// A line to it.
struct FarLine {
    state: Arc<Mutex<State>>,
    number: u32,
    link: Recipient<FromLine>,
    /// Its session is that of an earlier line.
    goes_on: bool,
}

impl Actor for FarLine {
    type Context = Context<FarLine>;
}

impl Handler<ToStream> for FarLine {
    type Result = ();

    fn handle(&mut self, message: ToStream, ctx: &mut Context<FarLine>) {
        match message {
            ToStream::Write { bytes, .. } => {
                let stanza = Stanza::parse_stored(bytes).expect("a stanza");
                let mut state = self.state.lock();
                state.heard.push(stanza);
                state.resumed += usize::from(self.goes_on);
            }
            ToStream::Leave(..) | ToStream::Close(_) => {
                let (line, refusal) = (self.number, None);
                self.link.do_send(FromLine::Down { line, refusal });
                ctx.stop();
            }
            _ => panic!("nothing else is said to a line"),
        }
    }
}
