//! Gets an order carried out: by the server that runs, or else by one started for it alone.

use super::Failure;
use crate::control::{Answer, AskError, Kind, Order, Performer, Refusal, Socket, ask};
use crate::folder::{Folder, FolderError};
use crate::opening::{Opening, Start, StartError};
use rookery_config::Settings;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// How long to wait for a server that has the folder but does not listen yet.
const PATIENCE: Duration = Duration::from_secs(5);

/// What became of an order, and whether a server was running.
pub(super) struct Done {
    pub answer: Answer,
    pub running: bool,
}

/// Whether the data folder may be made for this order.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Make {
    Yes,
    No,
}

/// Gives the order to the running server, or carries it out on the store.
pub(super) fn give(
    settings: Settings,
    order: &Order,
    make: Make,
    start: Start,
) -> Result<Done, Failure> {
    let data = settings.data.clone();
    if make == Make::No && !data.exists() {
        let text = format!(
            "there is no data folder at {}; is --data right?",
            data.display()
        );
        return Err(Failure::new("absent", text));
    }
    let until = Instant::now() + PATIENCE;
    loop {
        match ask(&data, order) {
            Ok(answer) => {
                return Ok(Done {
                    answer: answer?,
                    running: true,
                });
            }
            Err(AskError::NobodyThere) => {}
            Err(error) => return Err(Failure::new("failed", error.to_string())),
        }
        match Folder::open(&data) {
            Ok(folder) => {
                let opening = Opening {
                    settings,
                    folder,
                    certificates: None,
                    accept_loss: false,
                };
                let answer = alone(opening, order.clone(), start)?;
                return Ok(Done {
                    answer,
                    running: false,
                });
            }
            // Somebody has it: a server just starting or ending, or another command.
            Err(FolderError::Busy(_)) if Instant::now() < until => {
                std::thread::sleep(Duration::from_millis(50));
            }
            Err(error) => return Err(StartError::from(error).into()),
        }
    }
}

/// Starts a server without listeners, gives it the order, and drains it.
fn alone(opening: Opening, order: Order, start: Start) -> Result<Answer, Failure> {
    let folder = opening.folder.path().to_owned();
    actix_rt::System::new().block_on(async move {
        let server = start(opening).await?;
        let commands = server.commands();
        let performer: Performer = Rc::new(move |order| match order {
            Order::Reload => {
                let text = "no server is running that could read anything again";
                Box::pin(async move { Err(Refusal::new(Kind::NotRunning, text)) })
            }
            order => commands.run(order),
        });
        // Other commands of the moment go through this one.
        let socket = Socket::bind(&folder)
            .map_err(|error| Failure::new("failed", format!("{}: {error}", folder.display())))?;
        let serving = actix_rt::spawn(socket.serve(Rc::clone(&performer)));
        let answer = performer(order).await;
        serving.abort();
        let _ = serving.await;
        server.drain().await;
        Ok(answer?)
    })
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        let kind = serde_json::to_value(refusal.kind).unwrap_or_default();
        Failure::new(kind.as_str().unwrap_or("failed"), refusal.text)
    }
}
