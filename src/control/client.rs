//! The command's end of the socket.

use super::{ANSWER_LIMIT, Answer, NAME, Order, Place, Refusal, Reply, line};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// How long an order may take: removing an account with a long history takes its time.
const PATIENCE: Duration = Duration::from_secs(300);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// Nobody listens.
    #[error("no server is running on this data folder")]
    NobodyThere,
    /// Something other than a server answered, or broke off.
    #[error("the running server did not answer: {0}")]
    Broken(#[from] io::Error),
}

/// Gives an order to the server that runs on this data folder.
pub fn ask(folder: &Path, order: &Order) -> Result<Result<Answer, Refusal>, AskError> {
    let nobody = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => AskError::NobodyThere,
        _ => AskError::Broken(error),
    };
    // Looked for by its whole path first: a folder that is missing has nobody in it.
    std::fs::symlink_metadata(folder.join(NAME)).map_err(nobody)?;
    let place = Place::of(folder, NAME)?;
    let mut stream = UnixStream::connect(place.path()).map_err(nobody)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(&line(order))?;
    let mut reply = vec![];
    BufReader::new(stream.take(ANSWER_LIMIT)).read_until(b'\n', &mut reply)?;
    if reply.is_empty() {
        let text = "it closed the connection; are you its user, or root?";
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, text).into());
    }
    match serde_json::from_slice(&reply).map_err(io::Error::from)? {
        Reply::Ok(answer) => Ok(Ok(answer)),
        Reply::Error(refusal) => Ok(Err(refusal)),
    }
}
