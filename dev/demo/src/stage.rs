//! The output of the demo: a title for each act, notifications, facts.

use std::time::Instant;

use anstream::println;
use anstyle::{AnsiColor, Style};

const TITLE: Style = AnsiColor::Cyan.on_default().bold();
const TOLD: Style = AnsiColor::Green.on_default();
const BAD: Style = AnsiColor::Yellow.on_default();
const FAINT: Style = Style::new().dimmed();

/// The output, with the clock of the whole demo.
pub struct Stage {
    begun: Instant,
    acts: u32,
}

impl Stage {
    /// Prints the title of the demo.
    pub fn open(subtitle: &str) -> Stage {
        println!("\n{TITLE}pricedrop{TITLE:#}  {subtitle}");
        Stage { begun: Instant::now(), acts: 0 }
    }

    /// Prints the title of an act.
    pub fn act(&mut self, title: &str) {
        self.acts += 1;
        let (acts, seconds) = (self.acts, self.begun.elapsed().as_secs_f32());
        println!("\n{TITLE}{acts}. {title}{TITLE:#}  {FAINT}{seconds:.1} s{FAINT:#}");
    }

    /// Prints a text.
    pub fn say(&self, text: &str) {
        text.lines().for_each(|line| println!("   {line}"));
    }

    /// Prints an error that the demo has provoked.
    pub fn refused(&self, text: &str) {
        text.lines().for_each(|line| println!("   {BAD}{line}{BAD:#}"));
    }

    /// Prints some of the notifications, and how many there were.
    pub fn told(&self, lines: &[String], shown: usize) {
        // Spread over all of them, not only the first ones.
        let step = (lines.len() / shown.max(1)).max(1);
        for line in lines.iter().step_by(step).take(shown) {
            println!("   {TOLD}{line}{TOLD:#}");
        }
        let more = lines.len().saturating_sub(shown);
        if more > 0 {
            println!("   {FAINT}... and {more} more{FAINT:#}");
        }
    }

    /// Returns the seconds since the start.
    pub fn seconds(&self) -> f32 {
        self.begun.elapsed().as_secs_f32()
    }
}
