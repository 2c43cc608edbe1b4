//! Reads the watches of a drop, by bucket or by plain range, and collects the users to notify.

use std::sync::Arc;

use pricedrop_decide::{Decision, Lookup, Matcher, Silence, lookup};
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

/// Usual size of a notification without title and URL, bytes.
const USUAL_BYTES: usize = 256;

/// How far a fan-out was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// To its last watch: it is finished.
    End,
    /// Until the commit's budget was used up.
    Part,
}

/// Returns whether a row was last written before the fan-out began, and not during the fan-out. A
/// row without `updated_at` counts as written before.
fn existed_before(row: &WatchRow<'_>, fan_out: &FanOut) -> bool {
    !fan_out.began.is_before(row)
}

/// How much of the commit's budget each watch costs. A long title or URL makes long notifications,
/// and the commit has to be written within the timeout of a transaction.
fn weight(priced: &Priced) -> usize {
    let texts = [&priced.title, &priced.url].into_iter().flatten();
    1 + texts.map(String::len).sum::<usize>() / USUAL_BYTES
}

/// A fan-out to read, with what its decisions depend on.
pub struct Reading<'a> {
    /// The state that it belongs to.
    pub key: &'a StateKey,
    /// The fan-out, with its cursor.
    pub fan_out: &'a mut FanOut,
    /// The users it has notified.
    pub matcher: &'a mut Matcher,
    /// The once-ranges of the state, which change only when the fan-out ends.
    pub once_ranges: Vec<OnceRange>,
}

/// The view of watches that a batch reads, and the commit's budget.
pub struct FanOutReader<'a> {
    options: &'a Options,
    metrics: &'a Metrics,
    bucketing: Option<Arc<dyn Bucketing>>,
    /// The view.
    pub view: &'a mut dyn WatchView,
    /// Watches this commit may still consider.
    pub budget: Budget,
}

impl<'a> FanOutReader<'a> {
    /// A reader with the full budget of a commit.
    pub fn new(
        options: &'a Options,
        metrics: &'a Metrics,
        bucketing: Option<Arc<dyn Bucketing>>,
        view: &'a mut dyn WatchView,
    ) -> FanOutReader<'a> {
        FanOutReader { options, metrics, bucketing, view, budget: Budget::new(options) }
    }

    /// The size of the next page: `page_rows`, or the rest of the budget if that is less.
    pub fn page_rows(&self) -> usize {
        self.options.page_rows.min(self.budget.remaining().max(1))
    }

    /// Chooses to read a drop by bucket if the product's index is complete and the policy answers;
    /// else the plain range remains.
    pub fn choose_path(&self, product: &ProductId, known: &Summary, fan_out: &mut FanOut) {
        let Some(bucketing) = self.bucketing.as_ref().filter(|_| known.indexed) else { return };
        match bucketing.buckets_of(product, &[fan_out.priced.price]) {
            Ok(buckets) if buckets.len() == 1 => {
                let policy = bucketing.identity().name.clone();
                fan_out.path = ReadPath::Buckets { policy, from: buckets[0] };
            }
            Ok(_) => bucketing.report_breach(product, "the number of buckets for one price is not one"),
            // The plugin host has logged the failure, once and not for every drop.
            Err(error) => {
                tracing::debug!(%error, product = %product, "the bucketing policy failed; the plain range is read")
            }
        }
    }

    /// Reads from the fan-out's cursor to its end or the end of the budget. Adds the users to notify
    /// and the once watches to remove to the commit.
    pub async fn read_and_decide(
        &mut self,
        reading: Reading<'_>,
        known: &Summary,
        work: &mut Work,
    ) -> Result<Reach, Failure> {
        let Reading { key, fan_out, matcher, once_ranges } = reading;
        let Lookup::Below(below) = lookup(fan_out, known) else { return Ok(Reach::End) };
        self.count_path(fan_out);
        let audit = self.audits(fan_out);
        let mut rows = 0;
        let mut told = ToldList::default();
        let mut page = WatchPage::default();
        let reach = loop {
            let next = self.scan(key, fan_out, below, self.budget.remaining(), &mut page).await?;
            self.budget.spend(page.len() * weight(&fan_out.priced));
            for row in page.iter() {
                let currencies = (key.currency, self.options.rules.currency);
                let decision = matcher.decide(fan_out, &once_ranges, currencies.0, currencies.1, &row);
                if self.fires(decision, &row, &mut told) && row.mode.unwrap_or(fan_out.mode) == Mode::Once {
                    work.commit.removals.extend(removal(&key.product, &row));
                }
                rows += u64::from(audit && existed_before(&row, fan_out));
            }
            let Some(next) = next else { break Reach::End };
            fan_out.cursor = Some(next);
            if self.budget.remaining() == 0 {
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

    /// Reads one page of at most `most` rows, but at least one.
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

    /// Returns whether the watch fired. Adds its user to `told`, unless an earlier watch did.
    fn fires(&self, decision: Decision, row: &WatchRow<'_>, told: &mut ToldList) -> bool {
        match decision {
            Decision::Told => told.push(row.user, row.threshold),
            Decision::Covered => {}
            Decision::Silent(Silence::OtherCurrency) => {
                self.metrics.other_currency.inc();
                return false;
            }
            Decision::Silent(_) => return false,
        }
        true
    }

    /// Rebuilds the set of users that an interrupted fan-out has notified, by reading the range up to
    /// its cursor again.
    pub async fn rebuild(
        &mut self,
        key: &StateKey,
        fan_out: &FanOut,
        once_ranges: &[OnceRange],
        known: &Summary,
    ) -> Result<Matcher, Failure> {
        let mut matcher = Matcher::default();
        let Some(end) = &fan_out.cursor else { return Ok(matcher) };
        let mut again = FanOut { cursor: None, ..fan_out.clone() };
        let Lookup::Below(below) = lookup(fan_out, known) else { return Ok(matcher) };
        let rules_currency = self.options.rules.currency;
        let mut page = WatchPage::default();
        loop {
            let next = self.scan(key, &again, below, self.options.page_rows, &mut page).await?;
            let told_part = page.iter().take_while(|row| was_read(row, end));
            // A watch written after the fan-out began counts as not notified. If it was notified, a higher
            // watch of its user may notify the user a second time.
            for row in told_part.filter(|row| existed_before(row, fan_out)) {
                matcher.decide(&mut again, once_ranges, key.currency, rules_currency, &row);
            }
            match next {
                Some(next) if scan_position(&next) < scan_position(end) => again.cursor = Some(next),
                _ => return Ok(matcher),
            }
        }
    }

    /// Counts a fan-out's read path, once, when it begins.
    fn count_path(&self, fan_out: &FanOut) {
        if fan_out.cursor.is_none() {
            let reads = match fan_out.path {
                ReadPath::Plain => &self.metrics.plain_reads,
                ReadPath::Buckets { .. } => &self.metrics.bucket_reads,
            };
            reads.inc();
        }
    }

    /// Whether a drop that is read by bucket is compared with the plain range: one in
    /// `audit_sample_rate`, by offset, and only if it is read from its beginning.
    fn audits(&self, fan_out: &FanOut) -> bool {
        let one_in = self.options.audit_sample_rate;
        let bucketed = matches!(fan_out.path, ReadPath::Buckets { .. });
        let chosen = one_in > 0 && (fan_out.priced.position.offset as u64).is_multiple_of(one_in);
        bucketed && chosen && fan_out.cursor.is_none()
    }

    /// Reads the plain range and reports a breach of the policy if it has more watches.
    async fn compare_with_plain(
        &mut self,
        key: &StateKey,
        fan_out: &FanOut,
        below: Floor,
        by_bucket: u64,
    ) -> Result<(), Failure> {
        self.metrics.audits.inc();
        let rows = self.count(key, fan_out, ReadPath::Plain, below).await?;
        // Deletions since then only lower the plain count. A write in progress may reach the index
        // last, so the buckets are counted again first.
        if rows > by_bucket && rows > self.count(key, fan_out, fan_out.path.clone(), below).await? {
            let what = format!("{by_bucket} watches by bucket, {rows} by plain scan");
            if let Some(bucketing) = &self.bucketing {
                bucketing.report_breach(&key.product, &what);
            }
        }
        Ok(())
    }

    /// Counts the watches that a fan-out finds by this path, without those written since it began.
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
            rows += page.iter().filter(|row| existed_before(row, fan_out)).count() as u64;
            if all.cursor.is_none() {
                return Ok(rows);
            }
        }
    }
}

/// Adds the users to notify to the commit.
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

/// Returns the scan for the next page of a fan-out.
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

/// The position of a cursor in the order of scans: by threshold, then user, also across buckets.
fn scan_position(cursor: &Cursor) -> (pricedrop_model::Price, &str) {
    (cursor.threshold, cursor.user.as_str())
}

/// Whether the fan-out had read this row before it was interrupted at `end`.
fn was_read(row: &WatchRow<'_>, end: &Cursor) -> bool {
    (row.threshold, row.user) <= scan_position(end)
}
