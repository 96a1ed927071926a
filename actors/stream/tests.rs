//! Peers that do not read, do not stop, or go on talking; the end of the server; panics.

use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};

use super::Arrival;
use crate::testing::ledger::LIST;
use crate::testing::{PATIENCE, WANTED, World, run, settings};

fn world(settings: rookery_config::Settings) -> World {
    World::with(
        settings,
        ["ann", "bob"].into_iter().map(str::to_owned),
        LIST,
    )
}

#[test]
fn a_reader_that_never_reads_is_cut_off_at_the_bound() {
    run(async {
        let mut settings = settings();
        settings.c2s.send_buffer = rookery_config::Size::kib(16);
        let world = world(settings);
        let mut ann = world.login("ann", "a").await;
        let mut bob = world.connect(1024);
        bob.login("bob", "secret", "b").await;
        // Sixteen times the buffer and what lies on the way.
        let body = "x".repeat(4096);
        let headline =
            format!("<message to='bob@test/b' type='headline'><subject>{body}</subject></message>");
        let mut sent = 0;
        while world.realm().gauges.streams.load(Ordering::Relaxed) == 2 {
            ann.say(&headline).await;
            ann.settle().await;
            sent += headline.len();
            assert!(sent < 8 * 16 * 16 * 1024, "the reader is never cut off");
        }
        assert!(sent >= 16 * 16 * 1024, "{sent}");
        drop((ann, bob));
        world.end().await;
    });
}

#[test]
fn a_reader_that_takes_nothing_is_cut_off_in_time() {
    run(async {
        let mut settings = settings();
        settings.c2s.send_timeout = Duration::from_millis(200);
        let world = world(settings);
        let mut ann = world.login("ann", "a").await;
        let mut bob = world.connect(1024);
        bob.login("bob", "secret", "b").await;
        let body = "x".repeat(4096);
        ann.say(&format!(
            "<message to='bob@test/b' type='headline'><subject>{body}</subject></message>"
        ))
        .await;
        world
            .until("cut off", |realm| {
                realm.gauges.streams.load(Ordering::Relaxed) == 1
            })
            .await;
        ann.settle().await;
        drop((ann, bob));
        world.end().await;
    });
}

#[test]
fn a_writer_that_never_stops_is_not_read_while_the_disk_stands_still() {
    run(async {
        let world = world(settings());
        let mut ann = world.login("ann", "a").await;
        world.disk.hold();
        let chat = "<message to='bob@test' type='chat'><body>b</body></message>";
        let mut sent = 0;
        let patience = Duration::from_millis(500);
        while ann.say_if_it_goes(&chat.repeat(100), patience).await {
            sent += 100;
            assert!(sent < 1_000_000, "it is read without end");
        }
        let waiting = world.realm().keeper.waiting();
        assert!(waiting <= 64, "{waiting} of {sent}");
        world.disk.go_on();
        drop(ann);
        world.end().await;
    });
}

#[test]
fn who_has_no_session_yet_hears_of_the_end_too() {
    run(async {
        let world = world(settings());
        let mut early = world.connect(64 * 1024);
        early.begin().await;
        let mut late = world.login("ann", "a").await;
        let mut silent = world.connect(64 * 1024);
        let reading = async {
            let last = |heard: Vec<String>| heard.last().cloned().unwrap_or_default();
            (
                last(early.rest().await),
                last(late.rest().await),
                last(silent.rest().await),
            )
        };
        let (heard, ()) = tokio::join!(reading, world.stop());
        assert!(heard.0.contains("system-shutdown"), "{heard:?}");
        assert!(heard.1.contains("system-shutdown"), "{heard:?}");
        assert!(heard.2.contains("system-shutdown"), "{heard:?}");
    });
}

/// The Hub has told its sessions already when this one is bound, and the stream has a session
/// before it looks at what everybody without one is told.
#[test]
fn who_is_bound_while_the_server_stops_hears_of_the_end() {
    run(async {
        let mut settings = settings();
        (settings.engine.lanes, settings.storage.readers) = (1, 1);
        let world = world(settings);
        let realm = Arc::clone(world.realm());
        let mut ann = world.connect(64 * 1024);
        ann.authenticate("ann", "secret").await;
        // Her Hub cannot be loaded before the reader goes on.
        let (go_on, waits) = mpsc::channel::<()>();
        realm
            .keeper
            .read(Vec::new(), move |_| waits.recv().unwrap_or_default());
        ann.ask_to_bind("a").await;
        world
            .until("the Hub is born", |realm| {
                !realm.directory.keys().is_empty()
            })
            .await;
        tokio::time::sleep(Duration::from_millis(20)).await;
        // While the lane stands still the rows come, and then the end.
        let (stand, stands) = mpsc::channel();
        let (let_go, until) = mpsc::channel::<()>();
        realm.lanes.all()[0].spawn_fn(move || {
            stand.send(()).expect("heard");
            until.recv().unwrap_or_default();
        });
        stands
            .recv_timeout(PATIENCE)
            .expect("the lane stands still");
        let (read, done) = mpsc::channel();
        realm
            .keeper
            .read(Vec::new(), move |_| read.send(()).expect("heard"));
        drop(go_on);
        done.recv_timeout(PATIENCE).expect("all is read");
        realm.closing.send_replace(true);
        drop(let_go);
        let heard = ann.rest().await.concat();
        assert!(heard.contains("system-shutdown"), "{heard}");
        drop(ann);
        world.stop().await;
    });
}

/// A socket that is closed with bytes unread is reset, and a peer may lose the last word by it.
#[test]
fn the_last_word_is_heard_by_who_goes_on_talking() {
    run(async {
        let world = world(settings());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port");
        let address = listener.local_addr().expect("an address");
        let mut peer = tokio::net::TcpStream::connect(address)
            .await
            .expect("a connection");
        let (tcp, _) = listener.accept().await.expect("a connection");
        let tcp = tcp.into_std().expect("a socket");
        // All of it is there before the first byte is read.
        let junk = format!("<broken></wrong>{}", "x".repeat(100_000));
        peer.write_all(junk.as_bytes())
            .await
            .expect("there is room on the way");
        world.open(Box::new(move || {
            Arrival::Plain(tokio::net::TcpStream::from_std(tcp).expect("a socket"))
        }));
        let mut heard = Vec::new();
        let read = tokio::time::timeout(PATIENCE, peer.read_to_end(&mut heard)).await;
        read.expect("an end").expect("an orderly end");
        let heard = String::from_utf8(heard).expect("text");
        assert!(heard.ends_with("</stream:stream>"), "{heard}");
        drop(peer);
        world.end().await;
    });
}

/// Bytes that panic when they are read, once they were asked for so often.
struct Poisoned(u32);

impl AsyncRead for Poisoned {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        _: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        if self.0 == 0 {
            std::panic::panic_any(WANTED);
        }
        self.0 -= 1;
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl AsyncWrite for Poisoned {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[test]
fn a_panic_in_a_stream_costs_that_stream_only() {
    run(async {
        let mut settings = settings();
        settings.engine.lanes = 1;
        let world = world(settings);
        let mut ann = world.online("ann", "a").await;
        for times in 0..5 {
            world.open(Box::new(move || Arrival::Other(Box::new(Poisoned(times)))));
        }
        ann.settle().await;
        world
            .until("the poisoned are gone", |realm| {
                realm.gauges.streams.load(Ordering::Relaxed) == 1
            })
            .await;
        ann.settle().await;
        drop(ann);
        world.end().await;
    });
}
