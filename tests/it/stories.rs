//! Stories over real sockets: who connects, says, hears. One file, one story.

mod a_board_for_everybody;
mod a_full_mailbox;
mod a_new_password;
mod a_phone_in_a_pocket;
mod a_phone_that_is_off;
mod acknowledgements;
mod administration;
mod blocking;
mod by_every_door;
mod coming_back;
mod history;
mod how_far_one_has_read;
mod leaving_for_good;
mod logging_in_today;
mod making_an_account;
mod moving_away;
mod notices;
mod offline_across_a_crash;
mod one_picture_and_one_list;
mod profile_and_private_data;
mod several_devices;
mod streams;
mod the_whole_conversation;
mod two_people_meet;
mod what_people_publish;
mod what_the_server_says_of_itself;
