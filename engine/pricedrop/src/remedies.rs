//! Converts the errors of adapters into reports with remedies.

use pricedrop_cassandra as cassandra;
use pricedrop_model::ports;

use crate::report::CliError;

/// The remedy for a store that failed.
pub const SEE_STORE: &str =
    "see the log above; start the engine again when the store is available: nothing is lost";

/// The remedy for damaged files of the embedded store.
pub const SALVAGE: &str = "`pricedrop store check` lists the damage; restore the data folder from a backup, or stop \
                           the engine and save what can be read with `pricedrop store salvage`";

/// Reports an error of the Kafka adapter.
pub fn kafka(error: ports::Error) -> CliError {
    let remedy = match &error {
        ports::Error::Fatal(_) => "`pricedrop doctor` checks everything",
        _ => "start Kafka, or correct \"bootstrap.servers\" and the other properties under [kafka]",
    };
    CliError::failed(error, remedy)
}

/// Reports an error of the Cassandra adapter at startup.
pub fn cassandra(error: &cassandra::Error) -> CliError {
    let remedy = match error {
        cassandra::Error::Unreachable { .. } => "start Cassandra, or correct cassandra.contact_points",
        cassandra::Error::Configuration(_) => "correct [cassandra]",
        cassandra::Error::Schema(_) => "`pricedrop schema check` lists every difference",
        cassandra::Error::Forbidden(_) => {
            "grant the permission, or use a role that has it; docs/operations.md lists the grants"
        }
        cassandra::Error::Unavailable(_) => "try again when Cassandra is available",
    };
    CliError::failed(error, remedy)
}

/// Reports an error of the archive.
pub fn archive(error: pricedrop_archive::Error) -> CliError {
    let remedy = archive_remedy(&error);
    CliError::failed(error, remedy)
}

/// Returns the remedy for an archive that cannot be used.
pub fn archive_remedy(error: &pricedrop_archive::Error) -> &'static str {
    use pricedrop_archive::Error;
    match error {
        Error::Unavailable(_) => {
            "start the server, or correct archive.endpoint, archive.region and the credentials"
        }
        Error::Denied { .. } => "grant the access key s3:ListBucket, s3:GetObject and s3:PutObject",
        Error::NoBucket(_) => "create the bucket, or correct its name in archive.url",
        Error::OtherRegion(_) => "set archive.region to the region of the bucket",
        _ => "correct [archive], or name another URL",
    }
}
