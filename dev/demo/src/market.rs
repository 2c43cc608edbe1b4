//! Generates a small market: products, watches, and prices that move as in a shop. The result
//! is the same in every run.

use std::fmt::Write as _;

/// The number of watches.
pub const WATCHES: usize = 3_000;

/// The products, with their usual price in cents.
const PRODUCTS: [(&str, &str, i64); 12] = [
    ("P1", "Espresso machine", 24_900),
    ("P2", "Running shoes", 11_995),
    ("P3", "Noise-cancelling headphones", 29_900),
    ("P4", "Robot vacuum", 38_900),
    ("P5", "Trail backpack", 8_950),
    ("P6", "Mechanical keyboard", 14_900),
    ("P7", "Down jacket", 19_990),
    ("P8", "Cast-iron pan", 5_490),
    ("P9", "E-reader", 15_999),
    ("P10", "Bike helmet", 7_490),
    ("P11", "Desk lamp", 6_900),
    ("P12", "Tent for two", 22_900),
];
const PEOPLE: [&str; 12] =
    ["anna", "ben", "chloe", "dmitri", "elif", "farah", "goran", "hana", "ivan", "june", "kofi", "lena"];
const MODES: [&str; 3] = ["every-drop", "crossing", "once"];

/// A pseudo-random generator with a fixed seed.
struct Dice(u64);

impl Dice {
    /// Returns a number below `sides` (xorshift64).
    fn roll(&mut self, sides: u64) -> i64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % sides) as i64
    }
}

fn money(cents: i64) -> String {
    format!("{}.{:02}", cents / 100, cents % 100)
}

/// Returns a CSV file of watches, with thresholds from 60 % to just below the usual price.
pub fn watches() -> String {
    let mut dice = Dice(0x5EED_0001);
    let mut seen = std::collections::HashSet::new();
    let mut csv = String::from("product_id,price_watch_value,user_id,mode\n");
    while seen.len() < WATCHES {
        let (product, _, usual) = PRODUCTS[dice.roll(PRODUCTS.len() as u64) as usize];
        let threshold = usual * (600 + dice.roll(390)) / 1000;
        let user = format!("{}{}", PEOPLE[dice.roll(12) as usize], dice.roll(40));
        let mode = MODES[dice.roll(3) as usize];
        if seen.insert((product, threshold, user.clone())) {
            let _ = writeln!(csv, "{product},{},{user},{mode}", money(threshold));
        }
    }
    csv
}

/// Returns updates as JSON: small moves around the usual price, and a sale now and then.
pub fn updates(count: usize) -> Vec<String> {
    let mut dice = Dice(0x5EED_0002);
    let mut prices = PRODUCTS.map(|(_, _, usual)| usual);
    let mut lines = Vec::with_capacity(count);
    for index in 0..count {
        let which = dice.roll(PRODUCTS.len() as u64) as usize;
        let (product, title, usual) = PRODUCTS[which];
        prices[which] = match dice.roll(100) {
            0..3 => usual * (700 + dice.roll(200)) / 1000,
            3..40 => usual,
            _ => (prices[which] * (985 + dice.roll(30)) / 1000).clamp(usual / 2, usual * 11 / 10),
        };
        let minute = index / 20;
        let at = format!(
            "2026-11-{:02}T{:02}:{:02}:{:02}Z",
            20 + minute / 1440,
            minute / 60 % 24,
            minute % 60,
            index % 20 * 3
        );
        lines.push(format!(
            r#"{{"productId":"{product}","newPrice":{},"occurredAt":"{at}","title":"{title}"}}"#,
            money(prices[which])
        ));
    }
    lines
}
