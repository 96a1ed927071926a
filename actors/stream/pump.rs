//! Moves bytes between the transport and the stream, each time the stream is woken.
//!
//! The mailbox is drained before the pump is polled, so all that is delivered in one wake leaves in
//! one write and one TLS record. No stream has a read buffer of its own: there is one for each
//! lane.

use std::cell::RefCell;
use std::pin::Pin;
use std::task::{self, Poll};
use std::time::Instant;

use actix::fut::ActorFuture;
use actix::prelude::*;
use tokio::io::ReadBuf;

use super::{State, Stream};

/// The lane's read buffer; a TLS record is no larger.
const SCRATCH: usize = 16 * 1024;
/// A peer that sends more than this without hearing our last word does not want to.
const DEAF: usize = 1024 * 1024;
/// Reads in one wake before the others on the lane have their turn.
const READS: usize = 8;

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; SCRATCH]);
}

/// The pump of one stream.
pub struct Pump;

impl ActorFuture<Stream> for Pump {
    type Output = ();

    fn poll(
        self: Pin<&mut Self>,
        stream: &mut Stream,
        ctx: &mut Context<Stream>,
        task: &mut task::Context<'_>,
    ) -> Poll<()> {
        if !stream
            .waker
            .as_ref()
            .is_some_and(|waker| waker.will_wake(task.waker()))
        {
            stream.waker = Some(task.waker().clone());
        }
        if read(stream, ctx, task).is_break() || write(stream, task).is_break() {
            ctx.stop();
            return Poll::Ready(());
        }
        if stream.upgrading() {
            stream.upgrade(ctx);
        }
        if matches!(stream.state, State::Closing)
            && stream.out.is_empty()
            && !stream.flush
            && part(stream, task).is_break()
        {
            ctx.stop();
            return Poll::Ready(());
        }
        Poll::Pending
    }
}

/// Everything is said. What the peer still sends is read and dropped until it hangs up, its time is
/// over, or it was too much: a socket that is closed with bytes unread is reset, and the last word
/// is lost with it.
fn part(stream: &mut Stream, task: &mut task::Context<'_>) -> Flow {
    if !stream.shut {
        if stream.transport.poll_shutdown(task).is_pending() {
            return Flow::Continue(());
        }
        stream.shut = true;
    }
    BUFFER.with_borrow_mut(|scratch| {
        for _ in 0..READS {
            let mut buffer = ReadBuf::new(scratch);
            match stream.transport.poll_read(task, &mut buffer) {
                Poll::Pending => return Flow::Continue(()),
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                    stream.dropped += buffer.filled().len();
                    if stream.dropped > DEAF {
                        return Flow::Break(());
                    }
                }
                Poll::Ready(_) => return Flow::Break(()),
            }
        }
        task.waker().wake_by_ref();
        Flow::Continue(())
    })
}

type Flow = std::ops::ControlFlow<()>;

fn read(stream: &mut Stream, ctx: &mut Context<Stream>, task: &mut task::Context<'_>) -> Flow {
    BUFFER.with_borrow_mut(|scratch| {
        for turn in 0.. {
            if stream.blocked() || !stream.unread.is_empty() {
                break;
            }
            if turn == READS {
                task.waker().wake_by_ref();
                break;
            }
            let mut buffer = ReadBuf::new(scratch);
            match stream.transport.poll_read(task, &mut buffer) {
                Poll::Pending => break,
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                    stream.received(buffer.filled(), ctx);
                }
                // The end, clean or not.
                Poll::Ready(_) => return Flow::Break(()),
            }
        }
        Flow::Continue(())
    })
}

fn write(stream: &mut Stream, task: &mut task::Context<'_>) -> Flow {
    stream.ask_if_due();
    while !stream.out.is_empty() {
        match stream.transport.poll_write(task, stream.out.rest()) {
            Poll::Ready(Ok(0)) | Poll::Ready(Err(_)) => return Flow::Break(()),
            Poll::Ready(Ok(count)) => {
                stream.out.wrote(count);
                stream.stuck = None;
                if stream.out.len() <= stream.realm.site.settings.c2s.send_buffer.get() {
                    stream.behind = None;
                }
            }
            Poll::Pending => {
                stream.stuck.get_or_insert_with(Instant::now);
                return Flow::Continue(());
            }
        }
    }
    stream.drained();
    stream.drained_outside();
    if stream.flush {
        match stream.transport.poll_flush(task) {
            Poll::Ready(Ok(())) => {
                stream.flush = false;
                stream.stuck = None;
            }
            Poll::Ready(Err(_)) => return Flow::Break(()),
            Poll::Pending => {
                stream.stuck.get_or_insert_with(Instant::now);
            }
        }
    }
    Flow::Continue(())
}
