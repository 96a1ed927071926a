//! `rookery reload`: the running server reads its certificate and settings again.

use super::{Failure, Place, shown};
use crate::control::{Answer, Order, ask};
use serde_json::json;

pub(super) fn reload(place: &Place) -> Result<(), Failure> {
    let data = place.settings()?.data;
    let answer = ask(&data, &Order::Reload)
        .map_err(|error| Failure::new("not_running", format!("{}: {error}", data.display())))??;
    let remarks = match answer {
        Answer::Reloaded(remarks) => remarks,
        _ => vec![],
    };
    match place.json {
        true => shown::json(&json!({ "ok": true, "remarks": remarks })),
        false => {
            shown::text("The certificate was read again.\n");
            remarks
                .iter()
                .for_each(|remark| shown::text(&format!("{remark}\n")));
        }
    }
    Ok(())
}
