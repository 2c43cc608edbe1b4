//! Checks the keyspaces of the database (lsm-tree 3). The file `current` of a keyspace names the list of
//! its tables and that list's checksum. The list has a checksum for each table.
//!
//! ```text
//! keyspaces/ID/current      version u64, checksum u128, kind u8    (little-endian)
//!              v{version}   the list: levels, runs, tables
//!              tables/N     the tables
//! ```

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use xxhash_rust::xxh3::Xxh3;

use super::finding::Finding;

/// Checks one keyspace: its list of tables, and with `contents` the tables.
pub fn check(home: &Path, id: u64, contents: bool) -> io::Result<Vec<Finding>> {
    let folder = home.join("keyspaces").join(id.to_string());
    let name = |file: &str| Path::new("store/keyspaces").join(id.to_string()).join(file);
    let Some(current) = read_if_there(&folder.join("current"))? else {
        return Ok(vec![Finding::new(name("current"), None, "the file is missing")]);
    };
    let Some((version, checksum)) = parse_current(&current) else {
        return Ok(vec![Finding::new(name("current"), None, "the file has another format")]);
    };
    let list_name = format!("v{version}");
    let Some(list) = read_if_there(&folder.join(&list_name))? else {
        return Ok(vec![Finding::new(name(&list_name), None, "the file is missing")]);
    };
    if hash(&mut &list[..])? != checksum {
        return Ok(vec![Finding::new(name(&list_name), None, "the list of tables has another checksum")]);
    }
    let tables = listed(&folder.join(&list_name))?;
    let mut findings = Vec::new();
    for (table, checksum) in tables {
        let file = format!("tables/{table}");
        let found = match File::open(folder.join(&file)) {
            Ok(mut opened) => {
                (contents && hash(&mut opened)? != checksum).then_some("the table has another checksum")
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Some("the table is missing"),
            Err(error) => return Err(error),
        };
        findings.extend(found.map(|what| Finding::new(name(&file), None, what)));
    }
    Ok(findings)
}

fn read_if_there(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Returns the version and the checksum of its list.
fn parse_current(bytes: &[u8]) -> Option<(u64, u128)> {
    let (version, rest) = bytes.split_first_chunk()?;
    let (checksum, kind) = rest.split_first_chunk()?;
    (kind == [0]).then(|| (u64::from_le_bytes(*version), u128::from_le_bytes(*checksum)))
}

fn hash(from: &mut dyn Read) -> io::Result<u128> {
    let mut hasher = Xxh3::new();
    let mut block = vec![0; 64 << 10];
    loop {
        match from.read(&mut block)? {
            0 => return Ok(hasher.digest128()),
            read => hasher.update(&block[..read]),
        }
    }
}

/// Returns the tables of a valid list, with their checksums.
fn listed(path: &Path) -> io::Result<Vec<(u64, u128)>> {
    let broken =
        |what: &str| io::Error::new(io::ErrorKind::InvalidData, format!("{}: {what}", path.display()));
    let reader = sfa::Reader::new(path).map_err(|error| broken(&error.to_string()))?;
    let section = reader.toc().section(b"tables").ok_or_else(|| broken("no section of tables"))?;
    let mut section = section.buf_reader(path)?;
    let mut tables = Vec::new();
    for _level in 0..number::<1>(&mut section)? {
        for _run in 0..number::<1>(&mut section)? {
            for _table in 0..number::<4>(&mut section)? {
                let (id, _kind) = (number::<8>(&mut section)?, number::<1>(&mut section)?);
                tables.push((id as u64, number::<16>(&mut section)?));
                let _first_number = number::<8>(&mut section)?;
            }
        }
    }
    Ok(tables)
}

fn number<const N: usize>(from: &mut impl Read) -> io::Result<u128> {
    let mut bytes = [0; 16];
    from.read_exact(&mut bytes[..N])?;
    Ok(u128::from_le_bytes(bytes))
}
