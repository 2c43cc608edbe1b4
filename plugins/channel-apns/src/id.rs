//! The id of a notification, made from its delivery key.

const OFFSET: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;

/// A UUID of version 8 (RFC 9562) that is the same for every attempt of a delivery.
pub fn apns_id(key: &str) -> String {
    let id = fnv1a(key.as_bytes());
    let id = id & !(0xf << 76) | (0x8 << 76);
    let id = id & !(0x3 << 62) | (0x2 << 62);
    format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        id >> 96,
        (id >> 80) & 0xffff,
        (id >> 64) & 0xffff,
        (id >> 48) & 0xffff,
        id & 0xffff_ffff_ffff
    )
}

fn fnv1a(bytes: &[u8]) -> u128 {
    bytes.iter().fold(OFFSET, |hash, byte| (hash ^ u128::from(*byte)).wrapping_mul(PRIME))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_fnv_1a() {
        assert_eq!(fnv1a(b""), OFFSET);
        assert_eq!(fnv1a(b"a"), 0xd228_cb69_6f1a_8caf_7891_2b70_4e4a_8964);
    }

    #[test]
    fn an_id_is_a_uuid_of_version_8_and_depends_on_the_key_alone() {
        assert_eq!(apns_id("a"), "d228cb69-6f1a-8caf-b891-2b704e4a8964");
        assert_eq!(apns_id("k1"), apns_id("k1"));
        assert_ne!(apns_id("k1"), apns_id("k2"));
    }
}
