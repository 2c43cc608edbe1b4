//! Decides each watch of a drop: does it fire, and is its user notified? Every row of a fan-out is
//! decided here, so a wrong bucket can hide a watch, but never makes one fire.

use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hash, Hasher};

use pricedrop_model::{Currency, FanOut, Mode, OnceRange, WatchRow};
use xxhash_rust::xxh3::xxh3_128;

/// The decision on a watch. A watch that fires counts as fired whether its user is notified for it or
/// for another of their watches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// It fires, and its user is notified.
    Told,
    /// It fires, but a lower watch of the same user fired before it, so the user is notified once.
    Covered,
    /// It does not fire.
    Silent(Silence),
}

/// Why a watch does not fire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Silence {
    /// The price is above its threshold.
    NotReached,
    /// It is in another currency.
    OtherCurrency,
    /// An every-drop watch that fired at this price within the window.
    ToldBefore,
    /// A crossing or once watch that fired and is not armed again yet.
    Spent,
    /// A once watch that fired. Its row is about to be removed.
    Gone,
}

/// Decides the watches of one fan-out, in ascending order of threshold. Keeps a hash of 12 bytes
/// for each user notified, in hash sets.
#[derive(Debug, Default)]
pub struct Matcher {
    told: ToldUsers,
}

impl Matcher {
    /// Decides one watch. A watch without a currency has `rules_currency`.
    pub fn decide(
        &mut self,
        fan_out: &mut FanOut,
        once_ranges: &[OnceRange],
        currency: Currency,
        rules_currency: Currency,
        row: &WatchRow<'_>,
    ) -> Decision {
        let mode = row.mode.unwrap_or(fan_out.mode);
        if row.threshold < fan_out.priced.price {
            return Decision::Silent(Silence::NotReached);
        }
        if row.currency.unwrap_or(rules_currency) != currency {
            return Decision::Silent(Silence::OtherCurrency);
        }
        if let Some(silence) = silence(fan_out, once_ranges, mode, row) {
            return Decision::Silent(silence);
        }
        fan_out.told_every_drop |= mode == Mode::EveryDrop;
        fan_out.told_once |= mode == Mode::Once;
        match self.told.add(UserHash::of(row.user)) {
            true => Decision::Told,
            false => Decision::Covered,
        }
    }
}

/// Why a watch whose threshold is reached does not fire; `None` if it fires. Earlier drops do not
/// count for a watch that was written after them.
fn silence(fan_out: &FanOut, once_ranges: &[OnceRange], mode: Mode, row: &WatchRow<'_>) -> Option<Silence> {
    if mode == Mode::EveryDrop {
        let entry = fan_out.told_before?;
        return (!entry.evaluated.is_before(row)).then_some(Silence::ToldBefore);
    }
    if fan_out.floor.spends(row.threshold, fan_out.hysteresis) {
        return Some(Silence::Spent);
    }
    let told_once = |range: &OnceRange| {
        range.is_kept(fan_out.began) && range.contains(row.threshold) && !range.evaluated.is_before(row)
    };
    (mode == Mode::Once && once_ranges.iter().any(told_once)).then_some(Silence::Gone)
}

/// A hash of a user, 96 bits: among a million users two collide in one of 10^17 fan-outs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct UserHash([u32; 3]);

impl UserHash {
    fn of(user: &str) -> UserHash {
        let hash = xxh3_128(user.as_bytes());
        UserHash([hash as u32, (hash >> 32) as u32, (hash >> 64) as u32])
    }
}

impl Hash for UserHash {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        hasher.write_u64(u64::from(self.0[0]) << 32 | u64::from(self.0[1]));
    }
}

type Hashes = HashSet<UserHash, BuildHasherDefault<AlreadyHashed>>;

/// Maximum number of users in a single set; more are split into [`SET_COUNT`] sets.
const SINGLE_SET_USERS: usize = 1 << 14;
/// Number of sets of a large fan-out.
const SET_COUNT: usize = 64;

/// The hashes of notified users. A hash set doubles when it grows, and needs three times its memory
/// while it copies. So a large fan-out uses sets of different sizes; only a few of them grow at
/// about the same time.
#[derive(Debug, Default)]
struct ToldUsers {
    single: Hashes,
    sets: Vec<Hashes>,
}

impl ToldUsers {
    /// Adds a hash. Returns whether it is new.
    fn add(&mut self, hash: UserHash) -> bool {
        if self.sets.is_empty() {
            let new = self.single.insert(hash);
            if self.single.len() > SINGLE_SET_USERS {
                self.split();
            }
            return new;
        }
        self.sets[set_index(hash)].insert(hash)
    }

    /// Splits the single set.
    fn split(&mut self) {
        self.sets = std::iter::repeat_with(Hashes::default).take(SET_COUNT).collect();
        for hash in std::mem::take(&mut self.single) {
            self.sets[set_index(hash)].insert(hash);
        }
    }
}

/// Returns the index of a hash's set. Each set is larger than the one before by the same factor,
/// and the last is almost twice as large as the first.
fn set_index(hash: UserHash) -> usize {
    // Independent of the first two words, which are the hash inside the set.
    let share = (hash.0[2] >> 8) as f32 / (1u32 << 24) as f32;
    (((1.0 + share).log2() * SET_COUNT as f32) as usize).min(SET_COUNT - 1)
}

/// A hasher for values that are hashes already.
#[derive(Default)]
struct AlreadyHashed(u64);

impl Hasher for AlreadyHashed {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, _: &[u8]) {
        unreachable!("a user's hash is written as one number");
    }
    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_split_into_sets_once_they_are_too_many_for_one() {
        let mut told = ToldUsers::default();
        (0..SINGLE_SET_USERS).for_each(|user| assert!(told.add(UserHash::of(&user.to_string()))));
        assert_eq!((told.single.len(), told.sets.len()), (SINGLE_SET_USERS, 0));
        told.add(UserHash::of("one more"));
        assert_eq!((told.single.len(), told.sets.len()), (0, SET_COUNT));
        let ends = [0, u32::MAX].map(|last| set_index(UserHash([0, 0, last])));
        assert_eq!(ends, [0, SET_COUNT - 1]);
    }

    /// Sets of hashes are fast only if the hashes differ, in each part that they use.
    #[test]
    fn hashes_of_users_differ_in_every_word() {
        let users: Vec<UserHash> = (0..1_000).map(|user: u32| UserHash::of(&user.to_string())).collect();
        for word in 0..3 {
            let distinct: HashSet<u32> = users.iter().map(|hash| hash.0[word]).collect();
            assert!(distinct.len() > 990, "word {word}: {}", distinct.len());
        }
        let hashed = |user: &UserHash| {
            let mut hasher = AlreadyHashed::default();
            user.hash(&mut hasher);
            hasher.finish()
        };
        let hashes: Vec<u64> = users.iter().map(hashed).collect();
        for half in [|hash: &u64| *hash as u32, |hash: &u64| (*hash >> 32) as u32] {
            assert!(hashes.iter().map(half).collect::<HashSet<u32>>().len() > 990);
        }
    }

    #[test]
    fn each_user_is_new_only_once() {
        let mut told = ToldUsers::default();
        let hash = |user: u32| UserHash::of(&user.to_string());
        for user in 0..100_000 {
            assert!(told.add(hash(user)));
            assert!(!told.add(hash(user / 2)));
        }
        assert!(told.single.is_empty());
        let sizes: Vec<usize> = told.sets.iter().map(HashSet::len).collect();
        assert_eq!(sizes.iter().sum::<usize>(), 100_000);
        let (least, most) = (sizes[0], sizes[SET_COUNT - 1]);
        assert!(least * 3 < most * 2 && most < least * 3, "from {least} to {most}");
    }
}
