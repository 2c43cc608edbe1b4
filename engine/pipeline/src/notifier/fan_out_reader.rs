//! Reading the watchers of a drop, by bucket or plain, and telling them.

use std::sync::Arc;

use pricedrop_decide::{Lookup, Silence, Teller, Verdict, lookup};
use pricedrop_model::fan_out::ToldList;
use pricedrop_model::plugin::Bucketing;
use pricedrop_model::ports::{Scan, Summary, WatchView};
use pricedrop_model::{
    Cursor, FanOut, FanOutBlock, Floor, Mode, OnceRange, Priced, ProductId, ReadPath, Removal, StateKey,
    UserId, WatchPage, WatchRow,
};

use super::budget::Budget;
use super::decided::Work;
use super::error::Failure;
use super::metrics::Metrics;
use super::options::Options;

/// Of a notification without a title and an address, bytes.
const USUAL_BYTES: usize = 256;

/// How far a fan-out came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// To its last watcher.
    End,
    /// As far as the commit had room.
    Part,
}

/// Whether a row stands as it did when the fan-out began. Others may have come
/// while it was read.
fn was_there(row: &WatchRow<'_>, fan_out: &FanOut) -> bool {
    row.updated_at.is_none_or(|at| at <= fan_out.wall_time)
}

/// What each watch takes of a commit's room: a long title or address makes long
/// notifications, and a commit has to be written within a transaction's time.
fn weight(priced: &Priced) -> usize {
    let texts = [&priced.title, &priced.url].into_iter().flatten();
    1 + texts.map(String::len).sum::<usize>() / USUAL_BYTES
}

/// A fan-out that is being read.
pub struct Reading<'a> {
    /// Whose.
    pub key: &'a StateKey,
    /// It, with how far it has come.
    pub fan_out: &'a mut FanOut,
    /// Whom it has told.
    pub teller: &'a mut Teller,
    /// What it is decided by; they change only with its end.
    pub once_ranges: Vec<OnceRange>,
}

/// The view of watches that a batch reads, and its room.
pub struct FanOutReader<'a> {
    options: &'a Options,
    metrics: &'a Metrics,
    bucketing: Option<Arc<dyn Bucketing>>,
    /// What is read.
    pub view: &'a mut dyn WatchView,
    /// Watches this commit may still consider.
    pub budget: Budget,
}

impl<'a> FanOutReader<'a> {
    /// With all the room of a commit.
    pub fn new(
        options: &'a Options,
        metrics: &'a Metrics,
        bucketing: Option<Arc<dyn Bucketing>>,
        view: &'a mut dyn WatchView,
    ) -> FanOutReader<'a> {
        FanOutReader { options, metrics, bucketing, view, budget: Budget::new(options) }
    }

    /// Most watches that a page of this commit holds.
    pub fn page_rows(&self) -> usize {
        self.options.page_rows.min(self.budget.left().max(1))
    }

    /// By bucket where the product's index is complete and the policy answers.
    pub fn choose_path(&self, product: &ProductId, known: &Summary, fan_out: &mut FanOut) {
        let Some(bucketing) = self.bucketing.as_ref().filter(|_| known.indexed) else { return };
        match bucketing.buckets_of(product, &[fan_out.priced.price]) {
            Ok(buckets) if buckets.len() == 1 => {
                let policy = bucketing.identity().name.clone();
                fan_out.path = ReadPath::Buckets { policy, from: buckets[0] };
            }
            Ok(_) => bucketing.report_breach(product, "not one bucket for one price"),
            // The host has warned of the failure itself, once and not per drop.
            Err(error) => tracing::debug!(%error, product = %product, "reading the plain range instead"),
        }
    }

    /// Reads on from the fan-out's cursor and tells whom it must.
    pub async fn read_and_tell(
        &mut self,
        reading: Reading<'_>,
        known: &Summary,
        work: &mut Work,
    ) -> Result<Reach, Failure> {
        let Reading { key, fan_out, teller, once_ranges } = reading;
        let Lookup::Below(below) = lookup(fan_out, known) else { return Ok(Reach::End) };
        self.count_path(fan_out);
        let audit = self.audits(fan_out);
        let mut rows = 0;
        let mut told = ToldList::default();
        let mut page = WatchPage::default();
        let reach = loop {
            let next = self.scan(key, fan_out, below, self.budget.left(), &mut page).await?;
            self.budget.spend(page.len() * weight(&fan_out.priced));
            for row in page.iter() {
                let currencies = (key.currency, self.options.rules.currency);
                let verdict = teller.consider(fan_out, &once_ranges, currencies.0, currencies.1, &row);
                if self.is_told(verdict, &row, &mut told) && row.mode.unwrap_or(fan_out.mode) == Mode::Once {
                    work.commit.removals.extend(removal(&key.product, &row));
                }
                rows += u64::from(audit && was_there(&row, fan_out));
            }
            let Some(next) = next else { break Reach::End };
            fan_out.cursor = Some(next);
            if self.budget.left() == 0 {
                break Reach::Part;
            }
            tokio::task::yield_now().await;
        };
        publish(key, fan_out, told, work);
        if audit && reach == Reach::End {
            self.compare_with_plain(key, fan_out, below, rows).await?;
        }
        Ok(reach)
    }

    /// One page of at most `most` rows.
    async fn scan(
        &mut self,
        key: &StateKey,
        fan_out: &FanOut,
        below: Floor,
        most: usize,
        page: &mut WatchPage,
    ) -> Result<Option<Cursor>, Failure> {
        page.clear();
        let scan = scan_of(key, fan_out, below, self.options.page_rows.min(most.max(1)));
        let next = self.view.scan(&scan, page).await?;
        self.metrics.rows_read.inc_by(page.len() as u64);
        Ok(next)
    }

    /// Whether a watch has fired; its user is told unless an earlier one did so.
    fn is_told(&self, verdict: Verdict, row: &WatchRow<'_>, told: &mut ToldList) -> bool {
        match verdict {
            Verdict::Told => told.push(row.user, row.threshold),
            Verdict::Covered => {}
            Verdict::Silent(Silence::OtherCurrency) => {
                self.metrics.other_currency.inc();
                return false;
            }
            Verdict::Silent(_) => return false,
        }
        true
    }

    /// Finds out whom an interrupted fan-out has told, by reading its part again.
    pub async fn rebuild(
        &mut self,
        key: &StateKey,
        fan_out: &FanOut,
        once_ranges: &[OnceRange],
        known: &Summary,
    ) -> Result<Teller, Failure> {
        let mut teller = Teller::default();
        let Some(end) = &fan_out.cursor else { return Ok(teller) };
        let mut again = FanOut { cursor: None, ..fan_out.clone() };
        let Lookup::Below(below) = lookup(fan_out, known) else { return Ok(teller) };
        let rules_currency = self.options.rules.currency;
        let mut page = WatchPage::default();
        loop {
            let next = self.scan(key, &again, below, self.options.page_rows, &mut page).await?;
            let told_part = page.iter().take_while(|row| is_told_part(row, end));
            // A watch written since was not told, or its user may hear twice.
            for row in told_part.filter(|row| was_there(row, fan_out)) {
                teller.consider(&mut again, once_ranges, key.currency, rules_currency, &row);
            }
            match next {
                Some(next) if place(&next) < place(end) => again.cursor = Some(next),
                _ => return Ok(teller),
            }
        }
    }

    fn count_path(&self, fan_out: &FanOut) {
        if fan_out.cursor.is_none() {
            let reads = match fan_out.path {
                ReadPath::Plain => &self.metrics.plain_reads,
                ReadPath::Buckets { .. } => &self.metrics.bucket_reads,
            };
            reads.inc();
        }
    }

    /// Which bucketed drops are compared with the plain range.
    fn audits(&self, fan_out: &FanOut) -> bool {
        let one_in = self.options.audit_sample_rate;
        let bucketed = matches!(fan_out.path, ReadPath::Buckets { .. });
        let chosen = one_in > 0 && (fan_out.priced.position.offset as u64).is_multiple_of(one_in);
        bucketed && chosen && fan_out.cursor.is_none()
    }

    async fn compare_with_plain(
        &mut self,
        key: &StateKey,
        fan_out: &FanOut,
        below: Floor,
        by_bucket: u64,
    ) -> Result<(), Failure> {
        self.metrics.audits.inc();
        let rows = self.count(key, fan_out, ReadPath::Plain, below).await?;
        // Watches that were deleted in between are fewer, and those of a write that
        // takes its time come to the index last.
        if rows > by_bucket && rows > self.count(key, fan_out, fan_out.path.clone(), below).await? {
            let what = format!("{by_bucket} watches by bucket, {rows} by plain scan");
            if let Some(bucketing) = &self.bucketing {
                bucketing.report_breach(&key.product, &what);
            }
        }
        Ok(())
    }

    /// How many watches a fan-out that is read so finds, of those it knows.
    async fn count(
        &mut self,
        key: &StateKey,
        fan_out: &FanOut,
        path: ReadPath,
        below: Floor,
    ) -> Result<u64, Failure> {
        let mut all = FanOut { path, cursor: None, ..fan_out.clone() };
        let (mut rows, mut page) = (0, WatchPage::default());
        loop {
            all.cursor = self.scan(key, &all, below, self.options.page_rows, &mut page).await?;
            rows += page.iter().filter(|row| was_there(row, fan_out)).count() as u64;
            if all.cursor.is_none() {
                return Ok(rows);
            }
        }
    }
}

/// Adds the users told to what is committed.
fn publish(key: &StateKey, fan_out: &mut FanOut, told: ToldList, work: &mut Work) {
    if told.is_empty() {
        return;
    }
    fan_out.told += told.len() as u64;
    work.commit.fan_outs.push(FanOutBlock {
        product: key.product.clone(),
        currency: key.currency,
        priced: fan_out.priced.clone(),
        previous: fan_out.previous,
        told,
    });
}

/// The next page of a fan-out.
pub fn scan_of<'a>(key: &'a StateKey, fan_out: &'a FanOut, below: Floor, page_rows: usize) -> Scan<'a> {
    let buckets = match &fan_out.path {
        ReadPath::Plain => None,
        ReadPath::Buckets { policy, from } => Some((policy.as_str(), *from)),
    };
    Scan {
        product: &key.product,
        from: fan_out.priced.price,
        below,
        hysteresis: fan_out.hysteresis,
        buckets,
        after: fan_out.cursor.clone(),
        page_rows,
    }
}

fn removal(product: &ProductId, row: &WatchRow<'_>) -> Option<Removal> {
    Some(Removal {
        product: product.clone(),
        threshold: row.threshold,
        user: UserId::new(row.user).ok()?,
        write_time: row.write_time,
    })
}

/// Scans go up by threshold, then user; buckets do not change that order.
fn place(cursor: &Cursor) -> (pricedrop_model::Price, &str) {
    (cursor.threshold, cursor.user.as_str())
}

fn is_told_part(row: &WatchRow<'_>, end: &Cursor) -> bool {
    (row.threshold, row.user) <= place(end)
}
