//! The first lines of a running engine.

use std::net::SocketAddr;

use anstyle::{AnsiColor, Style};

use super::plugins::Loaded;
use crate::config::Config;

/// Says where it listens, what it uses, what to try next.
pub fn print(config: &Config, address: SocketAddr, plugins: &Loaded) {
    let (name, dim) = (AnsiColor::Green.on_default().bold(), Style::new().dimmed());
    let data = config.data_folder();
    anstream::eprintln!("{name}pricedrop{name:#} listens on http://{address}");
    anstream::eprintln!("  data     {}", data.display());
    anstream::eprintln!("  plugins  {}", plugins.summary());
    let token = if config.token().is_ok_and(|token| token.is_some()) {
        " -H \"Authorization: Bearer $TOKEN\""
    } else {
        ""
    };
    anstream::eprintln!("  {dim}try      pricedrop watch add P7 80 u1{dim:#}");
    anstream::eprintln!(
        "  {dim}         curl{token} http://{address}/v1/prices -d '{{\"productId\":\"P7\",\"newPrice\":79.90}}'{dim:#}"
    );
}
