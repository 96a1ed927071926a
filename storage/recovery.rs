//! Opening: from what is on disk to a store that holds all that was acknowledged, or to an error
//! that names what is missing.

use std::{
    any::Any,
    collections::BTreeMap,
    hash::{BuildHasher, Hasher, RandomState},
    io,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock, atomic::AtomicBool},
};

use parking_lot::{Condvar, Mutex, RwLock};

use crate::{
    checkpoint::Books,
    disk::{self, Disk},
    error::{Loss, OpenError, StoreError},
    journal::{Journal, Position, first_header, segment_name, segment_path},
    log::{HEADER_LEN, Header, StoreId},
    mark::{MARK, Mark, Unreadable},
    memtable::Tables,
    migrations::FORMAT,
    packed_shelf::PackedShelf,
    scrub::Scrub,
    shelf::{Identity, Shelf, ShelfError},
    sled_shelf::SledShelf,
    store::{Options, ShelfChoice},
    survey::{self, Survey},
    vault::{Counters, Vault},
};

/// The file whose lock keeps a second server out.
const LOCK: &str = "lock";
/// The folder of the journal's segments and the mark.
pub(crate) const JOURNAL: &str = "journal";
/// sled's folder.
pub(crate) const SLED: &str = "sled";

/// Opens the store in a folder, or makes one where nothing is.
pub(crate) fn open(folder: &Path, options: Options) -> Result<Vault, OpenError> {
    let vault = Opening::new(folder, options.clone())?.run()?;
    if !vault.doubtful {
        return Ok(vault);
    }
    let report = vault.scrub_all()?;
    let Some(damage) = report.damage.first() else {
        return Ok(vault);
    };
    if vault.repaired.is_some() || options.accept_loss {
        let text = format!("{damage}; {} more", report.damaged - 1);
        return if options.accept_loss {
            Ok(vault)
        } else {
            Err(OpenError::Shelf(text))
        };
    }
    drop(vault);
    Opening::new(
        folder,
        Options {
            rebuild: true,
            ..options
        },
    )?
    .run()
}

fn lock(disk: &dyn Disk, folder: &Path) -> Result<Box<dyn Any + Send + Sync>, OpenError> {
    let path = folder.join(LOCK);
    disk.lock(&path).map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => OpenError::Locked(folder.to_owned()),
        _ => OpenError::io(path)(error),
    })
}

pub(crate) struct Opening {
    pub(crate) options: Options,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) folder: PathBuf,
    pub(crate) journal_folder: PathBuf,
    lock: Lock,
}

/// What the files say, before anything is changed.
pub(crate) struct Found {
    pub(crate) mark: Mark,
    pub(crate) shelf: Box<dyn Shelf>,
    /// The last sequence number that sled holds completely.
    pub(crate) applied: u64,
    pub(crate) survey: Survey,
    pub(crate) losses: Vec<Loss>,
    /// Why sled was made anew.
    pub(crate) repaired: Option<String>,
}

type Lock = Box<dyn Any + Send + Sync>;
/// A shelf, and up to which commit it has them all.
type Applied = (Box<dyn Shelf>, u64);

impl Opening {
    fn new(folder: &Path, options: Options) -> Result<Opening, OpenError> {
        let disk = options.disk.clone();
        let journal_folder = folder.join(JOURNAL);
        disk.make_folder(folder).map_err(OpenError::io(folder))?;
        let lock = lock(&*disk, folder)?;
        disk.make_folder(&journal_folder)
            .map_err(OpenError::io(&journal_folder))?;
        let folder = folder.to_owned();
        Ok(Opening {
            options,
            disk,
            folder,
            journal_folder,
            lock,
        })
    }

    fn run(self) -> Result<Vault, OpenError> {
        let found = match self.read_mark()? {
            Ok(mark) => self.look(mark)?,
            Err(loss) if loss.offset == 0 && self.untouched()? => return self.create(),
            Err(loss) => self.look_without_mark(loss)?,
        };
        if !found.losses.is_empty() && !self.options.accept_loss {
            return Err(OpenError::Damaged(found.losses));
        }
        self.go_on(found)
    }

    /// The mark, or what is wrong with it (offset 0: there is none).
    fn read_mark(&self) -> Result<Result<Mark, Loss>, OpenError> {
        let path = self.journal_folder.join(MARK);
        let bytes = disk::read_file(&*self.disk, &path).map_err(OpenError::io(&path))?;
        let Some(bytes) = bytes else {
            return Ok(Err(Loss::new(MARK, 0, "the mark is missing")));
        };
        match Mark::read(&bytes) {
            Ok(mark) => Ok(Ok(mark)),
            Err(Unreadable::Newer(found)) => Err(OpenError::Newer {
                found,
                known: FORMAT,
            }),
            Err(Unreadable::Damaged) => Ok(Err(Loss::new(
                MARK,
                bytes.len().max(1) as u64,
                "the mark is damaged",
            ))),
        }
    }

    /// Whether the journal never held a frame: at most an empty first segment is there.
    fn untouched(&self) -> Result<bool, OpenError> {
        let numbers = survey::segments(&*self.disk, &self.journal_folder)?;
        let mut empty = numbers.len() <= 1;
        for number in numbers {
            let path = segment_path(&self.journal_folder, number);
            let bytes = disk::read_file(&*self.disk, &path).map_err(OpenError::io(&path))?;
            empty &= bytes.is_none_or(|bytes| bytes.len() <= HEADER_LEN);
        }
        Ok(empty)
    }

    pub(crate) fn open_shelf(&self, create: bool) -> Result<Box<dyn Shelf>, ShelfError> {
        let path = self.folder.join(SLED);
        match &self.options.shelf {
            ShelfChoice::Memory(shelf) => Ok(Box::new(PackedShelf::new(shelf.clone()))),
            ShelfChoice::Sled => {
                if create {
                    let made = self.disk.make_folder(&path);
                    made.map_err(|error| ShelfError::Broken(error.to_string()))?;
                }
                let sled = SledShelf::open(&path, self.options.cache, create)?;
                Ok(Box::new(PackedShelf::new(sled)))
            }
        }
    }

    /// A new store. The mark comes last: without it, everything is made again.
    fn create(self) -> Result<Vault, OpenError> {
        let shelf = self.open_shelf(true).map_err(open_error)?;
        let identity = shelf.identity().map_err(open_error)?;
        if let Some(identity) = identity.filter(|identity| identity.applied > 0) {
            let loss = Loss::new(JOURNAL, 0, "the journal and its mark are missing");
            let loss = loss.commits(identity.applied + 1, None);
            if !self.options.accept_loss {
                return Err(OpenError::Damaged(vec![loss]));
            }
            let found = self.look_without_mark(loss)?;
            return self.go_on(found);
        }
        let store = random_id();
        let header = first_header(store);
        let folder = self.journal_folder.clone();
        let journal = Journal::start(self.disk.clone(), folder.clone(), header, BTreeMap::new());
        let journal = journal.map_err(OpenError::io(&folder))?;
        shelf
            .set_identity(Identity { store, applied: 0 })
            .map_err(open_error)?;
        shelf.sync().map_err(open_error)?;
        let boot = self.disk.boot();
        let mark = Mark {
            boot,
            ..Mark::first(store, journal.position())
        };
        mark.store(&*self.disk, &folder)
            .map_err(OpenError::io(&folder))?;
        Ok(self.vault(shelf, mark, journal, Vec::new()))
    }

    /// Compares mark, journal and sled; makes sled anew if it is not what the mark says.
    fn look(&self, mark: Mark) -> Result<Found, OpenError> {
        let why = match self.try_shelf(&mark)? {
            Ok((shelf, applied)) if !self.options.rebuild => {
                return self.look_at_journal(mark, shelf, applied, Vec::new());
            }
            Ok(_) => "asked for".to_owned(),
            Err(why) => why,
        };
        let missing = match self.rebuild(&mark, &why)? {
            Ok(found) => return Ok(found),
            Err(missing) => missing,
        };
        let losses = vec![Loss::new(SLED, 0, why), missing];
        if !self.options.accept_loss {
            return Err(OpenError::Damaged(losses));
        }
        // An old copy is better than nothing; one that is another's is not.
        let (shelf, applied) = match self.open_shelf(false).and_then(|shelf| own(shelf, &mark)) {
            Ok(own) => own,
            Err(_) => (self.fresh_shelf().map_err(open_error)?, 0),
        };
        self.look_at_journal(mark, shelf, applied, losses)
    }

    /// sled, if it is this store's and not behind the mark; else what is wrong with it.
    fn try_shelf(&self, mark: &Mark) -> Result<Result<Applied, String>, OpenError> {
        match self.open_shelf(false).and_then(|shelf| own(shelf, mark)) {
            Ok((_, applied)) if applied < mark.sequence => {
                let (first, last) = (applied + 1, mark.sequence);
                Ok(Err(format!(
                    "it is an older copy, without commits {first} to {last}"
                )))
            }
            Ok(own) => Ok(Ok(own)),
            Err(ShelfError::Broken(why)) => Ok(Err(why)),
            Err(error) => Err(open_error(error)),
        }
    }

    fn look_at_journal(
        &self,
        mark: Mark,
        shelf: Box<dyn Shelf>,
        applied: u64,
        mut losses: Vec<Loss>,
    ) -> Result<Found, OpenError> {
        let mut survey = survey::survey(&*self.disk, &self.journal_folder, &mark)?;
        losses.append(&mut survey.losses);
        let fed = mark
            .next
            .as_ref()
            .map_or(mark.sequence, |next| next.sequence);
        if applied > fed {
            let what = format!("it is an older copy: sled is at {applied}");
            losses.push(Loss::new(MARK, 0, what));
        }
        let known = fed.max(applied);
        if survey.end < known {
            let loss = Loss::new(JOURNAL, 0, "its end is missing");
            losses.push(loss.commits(survey.end + 1, Some(known)));
        }
        Ok(Found {
            mark,
            shelf,
            applied,
            survey,
            losses,
            repaired: None,
        })
    }

    /// Tidies the end of the journal, starts a new segment and replays.
    fn go_on(self, found: Found) -> Result<Vault, OpenError> {
        let Found {
            mut mark,
            shelf,
            applied,
            survey,
            losses,
            repaired,
        } = found;
        for loss in &losses {
            tracing::error!(%loss, "going on with a loss");
        }
        let lossy = !losses.is_empty();
        let mut end = survey.end;
        // Frames that sled has and the end of the journal lacks must not be undone by older ones.
        let skip = if lossy && end < applied {
            applied
        } else {
            mark.sequence
        };
        if lossy {
            mark.next = None;
            mark.export = None;
            end = end.max(applied).max(mark.sequence);
        }
        self.tidy(&survey)?;
        let newest = survey
            .sizes
            .keys()
            .last()
            .copied()
            .unwrap_or(0)
            .max(mark.newest);
        mark.generation += 1;
        let header = Header {
            store: mark.store,
            segment: newest + 1,
            generation: mark.generation,
            first: end + 1,
        };
        mark.newest = header.segment;
        let boot = self.disk.boot();
        let interrupted = mark.next.is_some() && mark.boot != boot;
        mark.boot = boot;
        if lossy {
            // No rebuild can begin before the hole.
            mark.oldest = header.segment;
        }
        let folder = self.journal_folder.clone();
        let journal = Journal::start(self.disk.clone(), folder, header, survey.sizes.clone());
        let journal = journal.map_err(OpenError::io(&self.journal_folder))?;
        if !lossy {
            mark.store(&*self.disk, &self.journal_folder)
                .map_err(OpenError::io(&self.journal_folder))?;
        }
        let mut vault = self.vault(shelf, mark, journal, losses);
        // A power cut in the middle of a feed may have cost sled more than the feed.
        vault.doubtful = repaired.is_some() || interrupted;
        vault.repaired = repaired;
        vault.replay(&survey, skip)?;
        if lossy {
            vault.settle_losses()?;
        }
        Ok(vault)
    }

    /// Cuts off what was never acknowledged and removes what is needed no more.
    fn tidy(&self, survey: &Survey) -> Result<(), OpenError> {
        if let Some(torn) = survey.torn {
            let path = segment_path(&self.journal_folder, torn.segment);
            let file = self.disk.open(&path).map_err(OpenError::io(&path))?;
            file.truncate(torn.offset).map_err(OpenError::io(&path))?;
            file.sync().map_err(OpenError::io(&path))?;
            tracing::info!(
                segment = torn.segment,
                offset = torn.offset,
                "cut off a torn tail"
            );
        }
        let mut gone = Vec::new();
        gone.extend(&survey.unborn);
        for number in survey::segments(&*self.disk, &self.journal_folder)? {
            if survey
                .sizes
                .first_key_value()
                .is_some_and(|(oldest, _)| number < *oldest)
            {
                gone.push(number);
            }
        }
        if gone.is_empty() {
            return Ok(());
        }
        for number in gone {
            let path = self.journal_folder.join(segment_name(number));
            self.disk.remove(&path).map_err(OpenError::io(&path))?;
        }
        self.disk
            .sync_folder(&self.journal_folder)
            .map_err(OpenError::io(&self.journal_folder))
    }

    fn vault(
        self,
        shelf: Box<dyn Shelf>,
        mark: Mark,
        journal: Journal,
        losses: Vec<Loss>,
    ) -> Vault {
        let vault = Vault {
            options: self.options,
            disk: self.disk,
            folder: self.folder,
            journal_folder: self.journal_folder,
            shelf,
            books: Mutex::new(Books {
                mark,
                scrub: Scrub::default(),
                export: None,
            }),
            journal: Mutex::new(journal),
            tables: RwLock::new(Tables::default()),
            room: Condvar::new(),
            work: Condvar::new(),
            stuck: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            dead: OnceLock::new(),
            counters: Counters::default(),
            gauges: RwLock::default(),
            findings: RwLock::default(),
            losses,
            repaired: None,
            doubtful: false,
            _lock: self.lock,
        };
        vault.gauge_journal(&vault.journal.lock());
        vault.gauge_mark(&vault.books.lock().mark);
        vault.measure();
        vault
    }
}

impl Vault {
    /// Puts the journal's frames after `skip` into the memtable; a feed that was begun before the
    /// crash is finished first, and what is more than the memtable may hold is fed too.
    fn replay(&self, survey: &Survey, skip: u64) -> Result<(), OpenError> {
        let mut books = self.books.lock();
        for stretch in &survey.stretches {
            stretch.replay(&*self.disk, &self.journal_folder, |frame, after| {
                if frame.sequence <= skip {
                    return Ok(());
                }
                if frame.ops().is_none() {
                    return Err(unknown_change(after, frame.sequence));
                }
                let bytes = {
                    let mut tables = self.tables.write();
                    tables.active.apply(frame.bytes.to_vec());
                    tables.active.bytes()
                };
                let begun = books.mark.next.as_ref().map(|next| next.sequence);
                let due = begun.map_or(bytes >= self.options.memtable, |n| n == frame.sequence);
                if due {
                    let frozen = self.tables.write().freeze(frame.sequence, after);
                    frozen.map_or(Ok(()), |frozen| self.feed_whole(&mut books, &frozen))?;
                }
                Ok(())
            })?;
        }
        Ok(())
    }
}

/// The shelf and how far it is, if it is the store's own.
fn own(shelf: Box<dyn Shelf>, mark: &Mark) -> Result<Applied, ShelfError> {
    match shelf.identity()? {
        Some(identity) if identity.store == mark.store => Ok((shelf, identity.applied)),
        Some(_) => Err(ShelfError::Broken("it belongs to another store".into())),
        None => Err(ShelfError::Broken("it is empty".into())),
    }
}

fn unknown_change(after: Position, sequence: u64) -> OpenError {
    let what = "a commit with changes this program does not know";
    let loss = Loss::new(segment_name(after.segment), after.offset, what);
    OpenError::Damaged(vec![loss.commits(sequence, Some(sequence))])
}

pub(crate) fn open_error(error: ShelfError) -> OpenError {
    match error {
        ShelfError::Broken(why) => OpenError::Shelf(why),
        ShelfError::Sync(why) => OpenError::Store(StoreError::Fatal(why)),
    }
}

/// Tells stores apart; it is no secret.
pub(crate) fn random_id() -> StoreId {
    let half = || RandomState::new().build_hasher().finish();
    let mut id = [0; 16];
    id[..8].copy_from_slice(&half().to_be_bytes());
    id[8..].copy_from_slice(&half().to_be_bytes());
    id
}
