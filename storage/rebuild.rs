//! The rebuild: sled made anew from the last export and the journal, or from the journal alone
//! while it still begins with the first commit.

use std::{io, path::Path};

use crate::{
    checkpoint::put_row,
    disk::Disk,
    error::{Loss, OpenError},
    export::{self, EXPORT},
    frame::Op,
    journal::{FIRST_SEGMENT, Position},
    log::HEADER_LEN,
    mark::{Exported, Mark, Tallies},
    recovery::{Found, Opening, SLED, open_error},
    shelf::{Identity, Shelf, ShelfError},
    store::ShelfChoice,
    survey,
};

/// Where a sled that is of no use any more is kept for the curious.
const ASIDE: &str = "sled.aside";

impl Opening {
    /// Makes sled anew. `Err` names what is missing for it; then nothing was changed.
    pub(crate) fn rebuild(&self, mark: &Mark, why: &str) -> Result<Result<Found, Loss>, OpenError> {
        let folder = self.folder.join(EXPORT);
        let (from, sequence) = match mark.export {
            Some(export) => {
                if let Err(what) = check(&*self.disk, &folder, &export, mark) {
                    let name = export::export_name(export.number);
                    return Ok(Err(Loss::new(name, 0, what)));
                }
                (export.position, export.sequence)
            }
            None if mark.oldest == FIRST_SEGMENT => (
                Position {
                    segment: FIRST_SEGMENT,
                    offset: HEADER_LEN as u64,
                },
                0,
            ),
            None => return Ok(Err(Loss::new(EXPORT, 0, "there is no export"))),
        };
        let mut fresh = Mark {
            sequence,
            position: from,
            next: None,
            ..mark.clone()
        };
        let mut survey = survey::survey(&*self.disk, &self.journal_folder, &fresh)?;
        let fed = mark
            .next
            .as_ref()
            .map_or(mark.sequence, |next| next.sequence);
        let mut losses = std::mem::take(&mut survey.losses);
        if survey.end < fed {
            let loss = Loss::new("journal", 0, "its end is missing");
            losses.push(loss.commits(survey.end + 1, Some(fed)));
        }
        if !losses.is_empty() && !self.options.accept_loss {
            return Err(OpenError::Damaged(losses));
        }
        tracing::warn!(why, sequence, "making sled anew");
        let shelf = self.fresh_shelf().map_err(open_error)?;
        fresh.tallies = self.load(&*shelf, &fresh).map_err(open_error)?;
        shelf
            .set_identity(Identity {
                store: mark.store,
                applied: sequence,
            })
            .map_err(open_error)?;
        shelf.sync().map_err(open_error)?;
        fresh
            .store(&*self.disk, &self.journal_folder)
            .map_err(OpenError::io(&self.journal_folder))?;
        let repaired = Some(why.to_owned());
        Ok(Ok(Found {
            mark: fresh,
            shelf,
            applied: sequence,
            survey,
            losses,
            repaired,
        }))
    }

    /// An empty sled; what was there before is moved aside, over what was aside before.
    pub(crate) fn fresh_shelf(&self) -> Result<Box<dyn Shelf>, ShelfError> {
        match &self.options.shelf {
            ShelfChoice::Memory(shelf) => shelf.clear(),
            ShelfChoice::Sled => {
                let (path, aside) = (self.folder.join(SLED), self.folder.join(ASIDE));
                let moved = match path.exists() {
                    true => remove_folder(&aside).and_then(|()| std::fs::rename(&path, &aside)),
                    false => Ok(()),
                };
                moved.map_err(|error| ShelfError::Broken(error.to_string()))?;
            }
        }
        self.open_shelf(true)
    }

    /// Puts the rows of the export on an empty shelf and counts them.
    fn load(&self, shelf: &dyn Shelf, mark: &Mark) -> Result<Tallies, ShelfError> {
        let mut tallies = Tallies::default();
        let Some(export) = mark.export else {
            return Ok(tallies);
        };
        let folder = self.folder.join(EXPORT);
        export::read_export(&*self.disk, &folder, &export, mark.store, |ops| {
            for op in ops {
                if let Op::Put { tree, key, value } = op {
                    put_row(shelf, tree.slot(), key, value, &mut tallies)?;
                }
            }
            Ok::<(), ShelfError>(())
        })?;
        Ok(tallies)
    }
}

fn remove_folder(path: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Reads an export once before anything depends on it.
fn check(disk: &dyn Disk, folder: &Path, export: &Exported, mark: &Mark) -> Result<(), String> {
    export::read_export(disk, folder, export, mark.store, |_| Ok(()))
}

impl From<String> for ShelfError {
    fn from(why: String) -> ShelfError {
        ShelfError::Broken(why)
    }
}
