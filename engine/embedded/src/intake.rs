//! Accepts posted prices into a bounded queue in memory, from which the notifier reads them. A
//! record gets the next offset when it is accepted. It becomes durable with the notifier's commit,
//! and only then is its post answered, so nothing is written before that.
//!
//! A record stays in memory until its outcome is known. If the notifier restores from a stored
//! offset, it reads the records from that offset on again, and the records below it are known to be
//! durable. So a failed commit does not fail a post.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Range;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use pricedrop_model::intake::{IntakeError, NewRecord, Posted};
use pricedrop_model::ports::{Error, Outcome, UpdateSource};
use pricedrop_model::sync::lock;
use pricedrop_model::{EventTime, Position, Record};
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, timeout_at};

use super::offsets;
use super::shared::{Shared, Uncommitted};
use super::topics::PARTITION;

const BUSY: &str = "too many prices are waiting; try again";
const CLOSED: &str = "the engine is stopping";

fn unknown(log_at: i64) -> IntakeError {
    IntakeError::Unknown(format!("the outcome is not known yet; the log is at {log_at}"))
}

fn position(offset: i64) -> Position {
    Position { partition: PARTITION, offset }
}

/// A record that was accepted and whose outcome is not known yet.
struct Waiting {
    record: Record,
    /// The post that contained it.
    post: u64,
    /// Posts that repeated it. They get their answer when it is durable.
    repeats: Vec<u64>,
}

/// A post that waits for its outcomes.
struct Post {
    answers: Vec<Posted>,
    /// Records without an outcome.
    missing: usize,
    reply: oneshot::Sender<Vec<Posted>>,
}

#[derive(Default)]
struct State {
    /// The offset of the next record posted.
    next: i64,
    /// The offset of the next record handed out.
    next_taken: i64,
    /// Bytes of the records that were not handed out yet.
    bytes: usize,
    /// Every record without an outcome, by offset.
    waiting: BTreeMap<i64, Waiting>,
    posts: HashMap<u64, Post>,
    posts_so_far: u64,
    closed: bool,
}

fn bytes_of(record: &Record) -> usize {
    [&record.key, &record.value].into_iter().flatten().map(Bytes::len).sum()
}

impl State {
    /// Accepts records from offset `at` on, or after all records so far.
    fn admit(
        &mut self,
        records: &[NewRecord],
        at: Option<i64>,
        now: EventTime,
    ) -> Result<Admitted, IntakeError> {
        let first = at.unwrap_or(self.next);
        if first > self.next {
            return Err(IntakeError::Gap { next: self.next });
        }
        self.posts_so_far += 1;
        let post = self.posts_so_far;
        let (reply, answer) = oneshot::channel();
        self.posts
            .insert(post, Post { answers: Vec::with_capacity(records.len()), missing: records.len(), reply });
        for (offset, record) in (first..).zip(records) {
            match self.waiting.get_mut(&offset) {
                Some(waiting) => waiting.repeats.push(post),
                None if offset < self.next => self.answer(post, Posted::Already(position(offset))),
                None => self.push(offset, record, post, now),
            }
        }
        self.answer_if_complete(post);
        Ok(Admitted { post, end: first + records.len() as i64, answer })
    }

    fn push(&mut self, offset: i64, record: &NewRecord, post: u64, timestamp: EventTime) {
        let position = position(offset);
        let (key, value) = (record.key.clone(), record.value.clone());
        let record = Record { position, key, value, timestamp, original: None };
        self.bytes += bytes_of(&record);
        self.waiting.insert(offset, Waiting { record, post, repeats: Vec::new() });
        self.next = offset + 1;
    }

    /// Returns the next records for the notifier.
    fn take(&mut self, most: usize) -> Vec<Record> {
        let records: Vec<Record> = self
            .waiting
            .range(self.next_taken..)
            .take(most)
            .map(|(_, waiting)| waiting.record.clone())
            .collect();
        self.next_taken += records.len() as i64;
        self.bytes -= records.iter().map(bytes_of).sum::<usize>();
        records
    }

    fn answer(&mut self, post: u64, posted: Posted) {
        if let Some(waiting) = self.posts.get_mut(&post) {
            waiting.answers.push(posted);
            waiting.missing -= 1;
        }
    }

    fn answer_if_complete(&mut self, post: u64) {
        if self.posts.get(&post).is_some_and(|post| post.missing == 0)
            && let Some(mut post) = self.posts.remove(&post)
        {
            post.answers.sort_by_key(Posted::position);
            // The client may be gone; its records are accepted all the same.
            let _ = post.reply.send(post.answers);
        }
    }

    /// Records the outcome of a record that is durable now.
    fn record_outcome(&mut self, posted: Posted) {
        let position = posted.position();
        let Some(waiting) = self.waiting.remove(&position.offset) else { return };
        self.answer(waiting.post, posted);
        for &post in &waiting.repeats {
            self.answer(post, Posted::Already(position));
        }
        for post in waiting.repeats.into_iter().chain([waiting.post]) {
            self.answer_if_complete(post);
        }
    }

    /// Continues from the stored offset: records below it are durable, the rest is handed out
    /// again.
    fn rewind(&mut self, stored: i64) {
        let durable: Vec<i64> = self.waiting.range(..stored).map(|(offset, _)| *offset).collect();
        for offset in durable {
            self.record_outcome(Posted::Already(position(offset)));
        }
        let first = self.waiting.keys().next().copied().unwrap_or(self.next);
        if first == stored {
            self.next_taken = stored;
        } else {
            // The stored offset does not fit these records: the store has lost or gained commits.
            self.waiting.clear();
            self.posts.clear();
            (self.next_taken, self.next) = (stored, stored);
        }
        self.bytes = self.waiting.values().map(|waiting| bytes_of(&waiting.record)).sum();
    }
}

/// A post that was accepted.
struct Admitted {
    post: u64,
    /// The offset after its last record.
    end: i64,
    answer: oneshot::Receiver<Vec<Posted>>,
}

struct Intake {
    shared: Arc<Shared>,
    state: Mutex<State>,
    /// Notified when records were posted, or the intake was closed.
    posted: Notify,
    /// Notified when records were handed out, or the intake was closed.
    taken: Notify,
}

impl Intake {
    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Accepts a post as a whole if there is room. Returns `None` if there is none.
    fn try_admit(&self, records: &[NewRecord], at: Option<i64>) -> Result<Option<Admitted>, IntakeError> {
        if let Some(reason) = self.shared.store.down() {
            return Err(IntakeError::NotTaken(format!("the store is away: {reason}")));
        }
        let options = &self.shared.options;
        let mut state = self.lock();
        if state.closed {
            return Err(IntakeError::NotTaken(CLOSED.into()));
        }
        let queued = (state.next - state.next_taken) as usize;
        if queued >= options.intake_records || state.bytes >= options.intake_bytes {
            return Ok(None);
        }
        let now = EventTime(self.shared.watch_clock.now().0);
        let admitted = state.admit(records, at, now)?;
        drop(state);
        self.posted.notify_one();
        Ok(Some(admitted))
    }
}

impl Uncommitted for Intake {
    fn rewind(&self, stored: i64) {
        self.lock().rewind(stored);
        self.taken.notify_waiters();
        self.posted.notify_one();
    }

    fn records(&self, offsets: Range<i64>) -> Vec<Record> {
        let expected = offsets.end - offsets.start;
        let state = self.lock();
        let records: Vec<Record> =
            state.waiting.range(offsets).map(|(_, waiting)| waiting.record.clone()).collect();
        debug_assert_eq!(records.len() as i64, expected, "a record is kept until its commit");
        records
    }
}

/// Opens the intake at the committed offset.
pub(super) fn open(shared: &Arc<Shared>) -> Result<(PriceIntake, EmbeddedSource), Error> {
    let next = shared.store.read(offsets::input_offset)?;
    let state = State { next, next_taken: next, ..State::default() };
    shared.committed.fetch_max(next, Ordering::AcqRel);
    let intake = Arc::new(Intake {
        shared: shared.clone(),
        state: Mutex::new(state),
        posted: Notify::new(),
        taken: Notify::new(),
    });
    shared.set_uncommitted(Arc::downgrade(&intake) as Weak<dyn Uncommitted>);
    Ok((PriceIntake(intake.clone()), EmbeddedSource(intake)))
}

/// Accepts posted prices. Clones share one queue.
#[derive(Clone)]
pub struct PriceIntake(Arc<Intake>);

impl PriceIntake {
    async fn admit(&self, records: &[NewRecord], at: Option<i64>) -> Result<Admitted, IntakeError> {
        let until = Instant::now() + Duration::from_millis(self.0.shared.options.admission_timeout_ms);
        loop {
            let taken = self.0.taken.notified();
            tokio::pin!(taken);
            taken.as_mut().enable();
            if let Some(admitted) = self.0.try_admit(records, at)? {
                return Ok(admitted);
            }
            timeout_at(until, taken).await.map_err(|_| IntakeError::NotTaken(BUSY.into()))?;
        }
    }

    /// Stops waiting for a post. If its offsets are committed, it is durable, although a long
    /// fan-out may be unfinished.
    fn give_up(&self, admitted: &Admitted) -> Result<Vec<Posted>, IntakeError> {
        let log_at = self.log_at();
        let Some(mut post) = self.0.lock().posts.remove(&admitted.post) else {
            return Err(unknown(log_at));
        };
        if admitted.end > log_at {
            return Err(unknown(log_at));
        }
        let answered: HashSet<i64> = post.answers.iter().map(|posted| posted.position().offset).collect();
        let first = admitted.end - (post.answers.len() + post.missing) as i64;
        for offset in (first..admitted.end).filter(|offset| !answered.contains(offset)) {
            post.answers.push(Posted::Already(position(offset)));
        }
        post.answers.sort_by_key(Posted::position);
        Ok(post.answers)
    }

    /// Returns the committed offset: every record below it is durable.
    pub fn log_at(&self) -> i64 {
        self.0.shared.committed.load(Ordering::Acquire)
    }

    /// Returns how many records wait for the notifier.
    pub fn waiting(&self) -> usize {
        let state = self.0.lock();
        (state.next - state.next_taken) as usize
    }

    /// Accepts no more posts. The source ends after the records already accepted.
    pub fn close(&self) {
        self.0.lock().closed = true;
        self.0.posted.notify_one();
        self.0.taken.notify_waiters();
    }
}

#[async_trait]
impl pricedrop_model::intake::PriceIntake for PriceIntake {
    async fn post(&self, records: Vec<NewRecord>, at: Option<i64>) -> Result<Vec<Posted>, IntakeError> {
        let mut admitted = self.admit(&records, at).await?;
        let limit = Duration::from_millis(self.0.shared.options.response_timeout_ms);
        match timeout_at(Instant::now() + limit, &mut admitted.answer).await {
            Ok(Ok(answers)) => Ok(answers),
            Ok(Err(_)) => Err(unknown(self.log_at())),
            Err(_) => self.give_up(&admitted),
        }
    }
}

/// Hands accepted prices to the notifier.
pub struct EmbeddedSource(Arc<Intake>);

/// Without a notifier, no post gets its outcome any more.
impl Drop for EmbeddedSource {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.closed = true;
        state.posts.clear();
        self.0.taken.notify_waiters();
    }
}

#[async_trait]
impl UpdateSource for EmbeddedSource {
    async fn next_batch(&mut self, most: usize, wait_ms: u64) -> Result<Option<Vec<Record>>, Error> {
        let until = Instant::now() + Duration::from_millis(wait_ms);
        loop {
            let (records, closed) = {
                let mut state = self.0.lock();
                (state.take(most), state.closed)
            };
            if !records.is_empty() {
                self.0.taken.notify_waiters();
                return Ok(Some(records));
            }
            if closed && most > 0 {
                return Ok(None);
            }
            if wait_ms == 0 {
                return Ok(Some(Vec::new()));
            }
            // A permit left by an earlier post only causes one more check.
            if timeout_at(until, self.0.posted.notified()).await.is_err() {
                return Ok(Some(Vec::new()));
            }
        }
    }

    fn settled(&mut self, outcomes: Vec<(Position, Outcome)>) {
        let mut state = self.0.lock();
        for (position, outcome) in outcomes {
            state.record_outcome(Posted::Decided(position, outcome));
        }
    }
}
