//! What an account owes its contacts goes out, also when the server is killed in between.

use rookery_protocol::subscription::State;
use rookery_storage::Frame;

use super::{ROMEO, from_romeo, standing, to_romeo};
use crate::effect::Envelope;
use crate::hub::fixture::{Heard, Scene, text};

/// Its own half is on disk, and the server is killed before Romeo's account has heard of it.
#[test]
fn a_request_that_was_cut_off_is_sent_on() {
    for (before, word) in [
        (State::None, "subscribe"),
        (State::NonePendingIn, "subscribed"),
        (State::NonePendingIn, "unsubscribed"),
        (State::To, "unsubscribe"),
    ] {
        let (mut scene, balcony) = standing(before, false);
        let heard = scene.sends(balcony, &to_romeo(word));
        assert_owed(&mut scene, &heard, &[word]);
    }
}

/// The same of what the server says of its own accord.
#[test]
fn what_a_removal_owes_is_sent_on() {
    for (before, words) in [
        (State::Both, &["unsubscribe", "unsubscribed"][..]),
        (State::To, &["unsubscribe"]),
        (State::From, &["unsubscribed"]),
    ] {
        let (mut scene, balcony) = standing(before, false);
        let heard = scene.sends(
            balcony,
            &format!(
                "<iq type='set' id='r'><query xmlns='jabber:iq:roster'>
                 <item jid='{ROMEO}' subscription='remove'/></query></iq>"
            ),
        );
        assert_owed(&mut scene, &heard, words);
    }
    let (mut scene, _) = standing(State::None, true);
    let heard = scene.receives(&from_romeo("subscribe"));
    assert_owed(&mut scene, &heard, &["subscribed"]);
}

/// Romeo unsubscribes, asks again, and the server is killed: an answer to the first that came once
/// more would deny the second.
#[test]
fn the_answer_to_a_farewell_is_not_said_again() {
    for before in [State::Both, State::From, State::NonePendingIn] {
        let (mut scene, _) = standing(before, false);
        let heard = scene.receives(&from_romeo("unsubscribe"));
        let answered = |it: &Envelope| text(&it.stanza).contains("type='unsubscribed'");
        assert_eq!(heard.envelopes().filter(|it| answered(it)).count(), 1);
        assert_owed(&mut scene, &heard, &[]);
    }
}

/// These went to Romeo, and go again as long as he has not taken them.
#[track_caller]
fn assert_owed(scene: &mut Scene, heard: &Heard, words: &[&str]) {
    let owed = |heard: &Heard| -> Vec<(String, Frame)> {
        let sent = heard.envelopes().filter(|it| !it.rows.is_empty());
        sent.map(|it| {
            assert!(it.marks.lasting);
            (text(&it.stanza), it.rows.clone())
        })
        .collect()
    };
    let sent = owed(heard);
    assert_eq!(sent.len(), words.len(), "{:#?}", heard.log());
    for ((stanza, _), word) in sent.iter().zip(words) {
        assert!(stanza.contains(&format!("type='{word}'")), "{stanza}");
    }
    scene.reload();
    let again = scene.decides(|mind, _, _, fx| mind.repay(fx));
    assert_eq!(owed(&again), sent);
    // Romeo's account took them, each in one frame with the end of the debt.
    for (_, rows) in sent {
        scene.decides(|_, _, _, fx| fx.travelling = rows);
    }
    scene.reload();
    assert!(!scene.mind.account.owed.is_due());
    scene.decides(|mind, _, _, fx| mind.repay(fx)).nothing();
}
