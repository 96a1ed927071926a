//! The program: what it is made of stands in the library.

use std::process::ExitCode;

use rookery::cli::{Parts, Xep, run};
use rookery::extensions::{LIST, table};
use rookery::server::Server;

fn main() -> ExitCode {
    run(Parts {
        start: |opening| Box::pin(async { Ok(Server::start(opening, LIST)? as _) }),
        xeps: || table().into_iter().map(Xep::from).collect(),
    })
}
