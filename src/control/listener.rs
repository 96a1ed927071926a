//! The server's end of the socket.

use super::{Answer, Kind, NAME, ORDER_LIMIT, Order, Refusal, Reply, line};
use crate::opening::Local;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use zeroize::Zeroizing;

/// Carries out an order: the engine's part and the door's.
pub type Performer = Rc<dyn Fn(Order) -> Local<Result<Answer, Refusal>>>;

/// How many talk at a time; the next wait.
const TALKS: usize = 16;
/// How long one may take to say what it wants, and to take the answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// The socket; its file goes when this does.
#[derive(Debug)]
pub struct Socket {
    listener: UnixListener,
    path: PathBuf,
}

impl Socket {
    /// Takes the socket's place in a data folder that is ours (`Folder` holds the lock), from a
    /// server that is gone if need be.
    pub fn bind(folder: &Path) -> io::Result<Self> {
        let listener = super::bind(folder, NAME)?;
        listener.set_nonblocking(true)?;
        let listener = UnixListener::from_std(listener)?;
        let path = folder.join(NAME);
        Ok(Socket { listener, path })
    }

    /// Answers until dropped. Runs on a `LocalSet`.
    pub async fn serve(self, performer: Performer) {
        let talks = Arc::new(Semaphore::new(TALKS));
        loop {
            let Ok(talk) = Arc::clone(&talks).acquire_owned().await else {
                return;
            };
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    let performer = Rc::clone(&performer);
                    tokio::task::spawn_local(async move {
                        if let Err(error) = talk_with(stream, performer).await {
                            tracing::debug!(%error, "a command broke off");
                        }
                        drop(talk);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "no commands can be taken now");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // It is gone, or the next server takes its place: nothing to be done either way.
        let _ = fs::remove_file(&self.path);
    }
}

/// One order and its answer.
async fn talk_with(stream: UnixStream, performer: Performer) -> io::Result<()> {
    let us = rustix::process::geteuid().as_raw();
    let peer = stream.peer_cred()?.uid();
    if peer != us && peer != 0 {
        tracing::warn!(user = peer, "a command was refused: not this server's user");
        return Ok(());
    }
    let (reading, mut writing) = stream.into_split();
    let mut order = Zeroizing::new(Vec::new());
    let mut reading = BufReader::new(reading.take(ORDER_LIMIT));
    timeout(PATIENCE, reading.read_until(b'\n', &mut order)).await??;
    let answer = match serde_json::from_slice(&order) {
        Ok(order) => performer(order).await,
        Err(error) => Err(Refusal::new(Kind::Unknown, not_understood(&error))),
    };
    let reply = line(&match answer {
        Ok(answer) => Reply::Ok(answer),
        Err(refusal) => Reply::Error(refusal),
    });
    timeout(PATIENCE, writing.write_all(&reply)).await??;
    Ok(())
}

/// Why an order is none, without its text, which may hold a password.
fn not_understood(error: &serde_json::Error) -> String {
    match error.classify() {
        serde_json::error::Category::Data => {
            "the server does not know this order; is it of another version?".into()
        }
        _ => "this is not one line of JSON".into(),
    }
}
