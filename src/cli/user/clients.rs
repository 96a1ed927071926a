//! How the clients of an account are shown.

use crate::cli::shown;
use crate::control::Client;

/// One line a client.
pub(super) fn table(clients: &[Client]) -> String {
    if clients.is_empty() {
        return "No client has access to this account.\n".into();
    }
    let line = |client: &Client| {
        let name = match (&client.software, &client.device) {
            (Some(software), Some(device)) => format!("{software} on {device}"),
            (Some(name), None) | (None, Some(name)) => name.clone(),
            (None, None) => "a client without a name".into(),
        };
        let by = match (client.password, client.token) {
            (true, true) => "password, token",
            (false, true) => "token",
            (true, false) => "password",
            (false, false) => "nothing any more",
        };
        let seen = match client.connected {
            true => "online".into(),
            false => format!("last seen {}", shown::minute(client.last_seen)),
        };
        let since = shown::minute(client.first_seen);
        format!("{}  {name}  since {since}  {seen}  by {by}\n", client.id)
    };
    clients.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_a_client() {
        let clients = [
            Client {
                id: "1f".into(),
                connected: true,
                password: true,
                token: true,
                software: Some("Awesome".into()),
                device: Some("Alice's phone".into()),
                ..Client::default()
            },
            Client {
                id: "2f".into(),
                last_seen: 60_000,
                token: true,
                ..Client::default()
            },
        ];
        assert_eq!(
            table(&clients),
            "1f  Awesome on Alice's phone  since 1970-01-01 00:00  online  by password, token\n\
             2f  a client without a name  since 1970-01-01 00:00  last seen 1970-01-01 00:01  \
             by token\n"
        );
        assert!(table(&[]).contains("No client"));
    }
}
