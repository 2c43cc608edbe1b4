//! Splits large buckets into several partitions (shards), by a hash of the user.
//!
//! The number of shards is part of an index's name, so every reader and writer that knows the
//! name knows it too. Another number of shards needs another index, and the change to it is a
//! move like that to another policy.

use pricedrop_model::UserId;

use super::limits::SHARDS;

/// Returns the name of an index: its policy, the revision of the policy row that began it, and
/// the number of shards if that is not one.
pub(super) fn index_name(policy: &str, revision: i64, shards: u32) -> String {
    match shards {
        0 | 1 => format!("{policy}#{revision}"),
        _ => format!("{policy}#{revision}/{}", shards.min(SHARDS)),
    }
}

/// Returns how many shards each bucket of an index has.
pub(super) fn shards_of(index: &str) -> u32 {
    let build = index.rsplit_once('#').map_or("", |(_, build)| build);
    let shards = build.split_once('/').and_then(|(_, shards)| shards.parse().ok());
    shards.unwrap_or(1).clamp(1, SHARDS)
}

/// Returns the shard of a user's rows in an index. Stored rows depend on this function, so it
/// must never change.
pub(super) fn shard_of(user: &UserId, index: &str) -> i32 {
    let shards = u64::from(shards_of(index));
    if shards == 1 {
        return 0;
    }
    // FNV-1a, then the final mixing of MurmurHash3, so that short names are spread evenly.
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    let mut hash = user.as_str().as_bytes().iter().fold(0xcbf2_9ce4_8422_2325, step);
    for multiplier in [0xff51_afd7_ed55_8ccd, 0xc4ce_b9fe_1a85_ec53] {
        hash = (hash ^ (hash >> 33)).wrapping_mul(multiplier);
    }
    let shard = ((hash >> 32) * shards) >> 32;
    i32::try_from(shard).expect("there are few shards")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_index_says_how_many_shards_it_has() {
        for shards in [1, 2, SHARDS] {
            assert_eq!(shards_of(&index_name("a/3#b@1+c#9/9", 12, shards)), shards);
        }
        assert_eq!(index_name("p@1", 3, 1), "p@1#3");
        assert_eq!(shards_of("p@1#3"), 1);
        assert_eq!(shards_of("p@1#3/0"), 1);
        assert_eq!(shards_of("p@1#3/1000000"), SHARDS);
        assert_eq!(shards_of("another"), 1);
    }

    #[test]
    fn users_are_spread_over_the_shards_and_keep_their_shard() {
        let index = index_name("p@1", 1, 8);
        let mut counts = [0; 8];
        for n in 0..8_000 {
            counts[shard_of(&UserId::new(&format!("user-{n}")).unwrap(), &index) as usize] += 1;
        }
        assert!(counts.iter().all(|count| (850..1_150).contains(count)), "{counts:?}");
        let of = |user: &str| shard_of(&UserId::new(user).unwrap(), &index);
        assert_eq!(["u1", "u2", "ada", "grace"].map(of), [3, 4, 1, 1]);
    }
}
