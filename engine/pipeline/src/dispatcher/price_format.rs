//! Formats prices for the recipient's locale, with all digits, never rounded.

use pricedrop_model::dispatch::Money;
use pricedrop_model::{Currency, Price};

/// How a locale writes amounts.
struct Style {
    decimal: char,
    group: &'static str,
    symbol_first: bool,
    /// Between symbol and amount.
    space: &'static str,
    /// Whether all groups but the last have two digits, as in 12,34,567 (lakh, crore).
    pairs: bool,
}

const NARROW: &str = "\u{202f}";
const NO_BREAK: &str = "\u{a0}";
const ENGLISH: Style = Style { decimal: '.', group: ",", symbol_first: true, space: "", pairs: false };

/// The symbol is after the amount.
const fn symbol_after(decimal: char, group: &'static str) -> Style {
    Style { decimal, group, symbol_first: false, space: NO_BREAK, pairs: false }
}

/// The symbol is before the amount.
const fn symbol_before(decimal: char, group: &'static str) -> Style {
    Style { decimal, group, symbol_first: true, space: NO_BREAK, pairs: false }
}

/// Returns the style of a BCP 47 tag: by region if the region differs from its language, else by
/// language. Unknown tags get the style of en-US.
fn style(locale: &str) -> Style {
    let tag = locale.replace('_', "-").to_ascii_lowercase();
    let language = tag.split('-').next().unwrap_or_default();
    match tag.as_str() {
        "de-ch" | "de-li" | "it-ch" => return symbol_before('.', "’"),
        "de-at" => return symbol_before(',', NO_BREAK),
        "es-mx" | "es-us" => return ENGLISH,
        "en-in" => return Style { pairs: true, ..ENGLISH },
        "pt-br" => return symbol_before(',', "."),
        _ => {}
    }
    match language {
        "de" | "es" | "it" | "da" | "el" | "id" | "ro" | "sl" | "hr" | "sr" | "vi" => symbol_after(',', "."),
        "fr" => symbol_after(',', NARROW),
        "pt" | "pl" | "cs" | "sk" | "fi" | "sv" | "nb" | "no" | "ru" | "uk" | "hu" | "bg" | "lt" | "lv"
        | "et" => symbol_after(',', NO_BREAK),
        "nl" | "tr" => symbol_before(',', "."),
        "hi" => Style { pairs: true, ..ENGLISH },
        _ => ENGLISH,
    }
}

fn symbol(currency: Currency) -> Option<&'static str> {
    Some(match currency.as_str() {
        "USD" => "$",
        "EUR" => "€",
        "GBP" => "£",
        "JPY" => "¥",
        "CNY" => "CN¥",
        "INR" => "₹",
        "KRW" => "₩",
        "BRL" => "R$",
        "CAD" => "CA$",
        "AUD" => "A$",
        "MXN" => "MX$",
        "PLN" => "zł",
        "CZK" => "Kč",
        "UAH" => "₴",
        "TRY" => "₺",
        _ => return None,
    })
}

/// The fewest decimals shown: 0 for currencies without a minor unit in ISO 4217, else 2.
fn decimals(currency: Currency) -> usize {
    match currency.as_str() {
        "CLP" | "ISK" | "JPY" | "KRW" | "PYG" | "UGX" | "VND" | "XAF" | "XOF" | "XPF" => 0,
        _ => 2,
    }
}

/// Returns an amount together with its text in this locale; `None` is en-US.
pub fn format_price(amount: Price, currency: Currency, locale: Option<&str>) -> Money {
    Money { amount, currency, text: text(amount, currency, &style(locale.unwrap_or("en-US"))) }
}

fn text(amount: Price, currency: Currency, style: &Style) -> String {
    let plain = amount.to_decimal().to_string();
    let (integer, fraction) = plain.split_once('.').unwrap_or((&plain, ""));
    let mut number = grouped(integer, style);
    let width = decimals(currency).max(fraction.len());
    if width > 0 {
        number.push(style.decimal);
        number.push_str(&format!("{fraction:0<width$}"));
    }
    match (symbol(currency), style.symbol_first) {
        (Some(symbol), true) => format!("{symbol}{}{number}", style.space),
        (None, true) => format!("{currency}{NO_BREAK}{number}"),
        (symbol, false) => format!("{number}{NO_BREAK}{}", symbol.unwrap_or(currency.as_str())),
    }
}

fn grouped(integer: &str, style: &Style) -> String {
    let mut out = String::new();
    for (at, digit) in integer.chars().enumerate() {
        let remaining = integer.len() - at;
        let boundary = if style.pairs {
            remaining == 3 || (remaining > 3 && remaining % 2 == 1)
        } else {
            remaining.is_multiple_of(3)
        };
        if at > 0 && boundary {
            out.push_str(style.group);
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn prices_are_formatted_for_the_locale() {
        for (amount, currency, locale, expected) in [
            ("79.9", "USD", None, "$79.90"),
            ("1234567.5", "USD", Some("en-US"), "$1,234,567.50"),
            ("1234567.5", "INR", Some("en-IN"), "₹12,34,567.50"),
            ("1234.5", "EUR", Some("de-DE"), "1.234,50\u{a0}€"),
            ("1234.5", "EUR", Some("de_AT"), "€\u{a0}1\u{a0}234,50"),
            ("1234.5", "CHF", Some("de-CH"), "CHF\u{a0}1’234.50"),
            ("1234.5", "EUR", Some("fr"), "1\u{202f}234,50\u{a0}€"),
            ("1234.5", "BRL", Some("pt-BR"), "R$\u{a0}1.234,50"),
            ("1234", "JPY", Some("ja-JP"), "¥1,234"),
            ("0.123456789", "USD", Some("tlh"), "$0.123456789"),
            ("0", "SEK", Some("sv"), "0,00\u{a0}SEK"),
            ("9007199254740991", "USD", None, "$9,007,199,254,740,991.00"),
        ] {
            let currency = Currency::new(currency).unwrap();
            assert_eq!(format_price(Price::parse(amount).unwrap(), currency, locale).text, expected);
        }
    }
}
