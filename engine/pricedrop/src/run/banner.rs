//! Prints the first lines of a running engine.

use std::io::Write;
use std::net::SocketAddr;

use anstyle::{AnsiColor, Style};

use super::plugins::Loaded;
use super::stores::RunRoles;
use crate::config::Config;
use crate::config::tables::Stores;

/// Prints where the engine listens, which stores and plugins it uses, and what to try next. A
/// failure to write is ignored: the engine runs without its banner.
pub fn print(config: &Config, address: SocketAddr, plugins: &Loaded, roles: RunRoles) {
    let _ = write(&mut anstream::stderr(), config, address, plugins, roles);
}

fn write(
    out: &mut impl Write,
    config: &Config,
    address: SocketAddr,
    plugins: &Loaded,
    roles: RunRoles,
) -> std::io::Result<()> {
    let (name, dim) = (AnsiColor::Green.on_default().bold(), Style::new().dimmed());
    let data = &config.data.folder;
    writeln!(out, "{name}pricedrop{name:#} listens on http://{address}")?;
    writeln!(out, "  data     {}", data.display())?;
    writeln!(out, "  plugins  {}", plugins.summary())?;
    writeln!(out, "  stores   {}", stores(&config.stores, roles))?;
    if roles.archiver {
        writeln!(out, "  archive  {}", config.archive.url.as_deref().unwrap_or_default())?;
    }
    match (roles.shadow, roles.notifier, roles.dispatcher) {
        (true, ..) => writeln!(out, "  role     a shadow: nothing is published, sent or deleted")?,
        (_, true, false) => writeln!(out, "  role     notifier alone: nothing is sent")?,
        (_, false, true) => return writeln!(out, "  role     dispatcher alone: nothing is decided"),
        (_, false, false) => return writeln!(out, "  role     archiver alone: nothing is decided or sent"),
        (_, true, true) => {}
    }
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

/// Names the stores. Only a dispatcher uses leases, so other roles list none.
fn stores(stores: &Stores, roles: RunRoles) -> String {
    let name = |on: bool, server: &str| if on { server.to_owned() } else { "embedded".into() };
    let mut report =
        format!("log {}, watches {}", name(stores.kafka(), "kafka"), name(stores.cassandra(), "cassandra"));
    if roles.dispatcher {
        report.push_str(", leases ");
        report.push_str(&name(stores.redis_leases(), "redis"));
    }
    if stores.redis_cache() {
        report.push_str(", cache redis");
    }
    report
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{LogStore, WatchCache};

    #[test]
    fn a_notifier_alone_claims_no_leases() {
        let servers = Stores { log: LogStore::Kafka, ..Stores::default() };
        let whole = RunRoles { notifier: true, dispatcher: true, archiver: false, shadow: false };
        assert_eq!(stores(&servers, whole), "log kafka, watches cassandra, leases redis");
        let alone = RunRoles { dispatcher: false, ..whole };
        assert_eq!(stores(&servers, alone), "log kafka, watches cassandra");
        let cached = Stores { cache: WatchCache::Redis, ..servers };
        assert_eq!(stores(&cached, alone), "log kafka, watches cassandra, cache redis");
    }
}
