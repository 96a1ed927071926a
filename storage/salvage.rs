//! Going on with a loss, because a person said so (`accept_loss`): what is left is gathered,
//! counted anew, and the mark moves past the damage.

use crate::{
    disk,
    error::{Loss, OpenError},
    journal::{Position, first_header, segment_path},
    log::{HEADER_LEN, Header},
    mark::{Mark, Tallies},
    recovery::{Found, Opening, open_error, random_id},
    scrub,
    survey::{self, Survey},
    vault::Vault,
};

impl Opening {
    /// With `accept_loss` only: what can be known when the mark is gone.
    pub(crate) fn look_without_mark(&self, loss: Loss) -> Result<Found, OpenError> {
        if !self.options.accept_loss {
            return Err(OpenError::Damaged(vec![loss]));
        }
        let shelf = self.open_shelf(false).map_err(open_error)?;
        let identity = shelf.identity().map_err(open_error)?;
        let mut headers = Vec::new();
        for number in survey::segments(&*self.disk, &self.journal_folder)? {
            let path = segment_path(&self.journal_folder, number);
            let bytes = disk::read_start(&*self.disk, &path, HEADER_LEN);
            let bytes = bytes.map_err(OpenError::io(&path))?;
            headers.extend(bytes.and_then(|(head, _)| Header::read(&head)));
        }
        let store = identity.map(|identity| identity.store);
        let store = store.or(headers.first().map(|header| header.store));
        let store = store.unwrap_or_else(random_id);
        headers.retain(|header| header.store == store);
        let first = headers.first().copied();
        let first = first.unwrap_or(Header {
            segment: 0,
            ..first_header(store)
        });
        let offset = HEADER_LEN as u64;
        let mark = Mark {
            generation: headers
                .iter()
                .map(|header| header.generation)
                .max()
                .unwrap_or(1),
            sequence: first.first - 1,
            newest: headers.last().map_or(0, |header| header.segment),
            ..Mark::first(
                store,
                Position {
                    segment: first.segment,
                    offset,
                },
            )
        };
        let survey = match headers.is_empty() {
            true => Survey::default(),
            false => survey::survey(&*self.disk, &self.journal_folder, &mark)?,
        };
        let mut losses = vec![loss];
        losses.extend(survey.losses.iter().cloned());
        let applied = identity.map_or(0, |identity| identity.applied);
        Ok(Found {
            mark,
            shelf,
            applied,
            survey,
            losses,
            repaired: None,
        })
    }
}

impl Vault {
    /// After a loss: everything that is left goes to sled, what sled holds is counted anew, and
    /// the mark moves past the damage.
    pub(crate) fn settle_losses(&self) -> Result<(), OpenError> {
        let books = &mut *self.books.lock();
        let (sequence, position) = {
            let journal = self.journal.lock();
            (journal.sequence(), journal.position())
        };
        let frozen = self.tables.write().freeze(sequence, position);
        frozen.map_or(Ok(()), |frozen| self.feed_whole(books, &frozen))?;
        let tallies: Tallies = scrub::recount(&*self.shelf).map_err(open_error)?;
        self.write_mark(
            books,
            Mark {
                tallies,
                ..books.mark.clone()
            },
        )?;
        Ok(())
    }
}
