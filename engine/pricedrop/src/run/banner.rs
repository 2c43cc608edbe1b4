//! The first lines of a running engine.

use std::io::Write;
use std::net::SocketAddr;

use anstyle::{AnsiColor, Style};

use super::plugins::Loaded;
use crate::config::Config;

/// Says where it listens, what it uses, what to try next. An engine whose log
/// cannot be written runs all the same.
pub fn print(config: &Config, address: SocketAddr, plugins: &Loaded) {
    let _ = write(&mut anstream::stderr(), config, address, plugins);
}

fn write(
    out: &mut impl Write,
    config: &Config,
    address: SocketAddr,
    plugins: &Loaded,
) -> std::io::Result<()> {
    let (name, dim) = (AnsiColor::Green.on_default().bold(), Style::new().dimmed());
    let data = config.data_folder();
    writeln!(out, "{name}pricedrop{name:#} listens on http://{address}")?;
    writeln!(out, "  data     {}", data.display())?;
    writeln!(out, "  plugins  {}", plugins.summary())?;
    let token = if config.token().is_ok_and(|token| token.is_some()) {
        " -H \"Authorization: Bearer $TOKEN\""
    } else {
        ""
    };
    writeln!(out, "  {dim}try      pricedrop watch add P7 80 u1{dim:#}")?;
    writeln!(
        out,
        "  {dim}         curl{token} http://{address}/v1/prices -d '{{\"productId\":\"P7\",\"newPrice\":79.90}}'{dim:#}"
    )
}
