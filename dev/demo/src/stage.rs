//! How the demo speaks: a title per act, told lines, facts.

use std::time::Instant;

use anstream::println;
use anstyle::{AnsiColor, Style};

const TITLE: Style = AnsiColor::Cyan.on_default().bold();
const TOLD: Style = AnsiColor::Green.on_default();
const BAD: Style = AnsiColor::Yellow.on_default();
const FAINT: Style = Style::new().dimmed();

/// The clock of the whole demo.
pub struct Stage {
    begun: Instant,
    acts: u32,
}

impl Stage {
    /// Opens with the name of the play.
    pub fn open(subtitle: &str) -> Stage {
        println!("\n{TITLE}pricedrop{TITLE:#}  {subtitle}");
        Stage { begun: Instant::now(), acts: 0 }
    }

    /// Begins an act.
    pub fn act(&mut self, title: &str) {
        self.acts += 1;
        let (acts, seconds) = (self.acts, self.begun.elapsed().as_secs_f32());
        println!("\n{TITLE}{acts}. {title}{TITLE:#}  {FAINT}{seconds:.1} s{FAINT:#}");
    }

    /// Says something.
    pub fn say(&self, text: &str) {
        text.lines().for_each(|line| println!("   {line}"));
    }

    /// Shows what went wrong on purpose.
    pub fn refused(&self, text: &str) {
        text.lines().for_each(|line| println!("   {BAD}{line}{BAD:#}"));
    }

    /// Shows some of the lines that told somebody, and how many there were.
    pub fn told(&self, lines: &[String], shown: usize) {
        // Spread over all that were told, not the first ones alone.
        let step = (lines.len() / shown.max(1)).max(1);
        for line in lines.iter().step_by(step).take(shown) {
            println!("   {TOLD}{line}{TOLD:#}");
        }
        let more = lines.len().saturating_sub(shown);
        if more > 0 {
            println!("   {FAINT}... and {more} more{FAINT:#}");
        }
    }

    /// How long it took so far.
    pub fn seconds(&self) -> f32 {
        self.begun.elapsed().as_secs_f32()
    }
}
