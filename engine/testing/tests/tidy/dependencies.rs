//! Reads the dependencies as cargo builds them on this platform, and `deny.toml`.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use crate::tree;

/// The kinds of dependencies that the crates are built with.
pub const WITHOUT_TESTS: &str = "normal,build";
/// The same, and those that the tests are built with.
pub const WITH_TESTS: &str = "normal,build,dev";

/// One version of a crate.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Package {
    /// The licence it declares, an SPDX expression; empty: none.
    pub licence: String,
    /// The names of the crates that depend on it.
    pub dependents: BTreeSet<String>,
}

/// The packages, by name and version.
pub type Dependencies = BTreeMap<(String, String), Package>;

/// Reads `deny.toml`.
pub fn rules() -> toml::Table {
    toml::from_str(&tree::read("deny.toml")).unwrap()
}

/// Reads the dependencies of the workspace along these kinds of edges. `cargo metadata` would also
/// list optional crates that no feature enables.
pub fn read(edges: &str) -> Dependencies {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--offline", "--locked", "--workspace", "--prefix", "depth", "--format", "{p}\t{l}"])
        .args(["--edges", edges])
        .current_dir(tree::root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let packages = parse(&String::from_utf8(output.stdout).unwrap());
    assert!(packages.len() > 100, "only {} packages found", packages.len());
    packages
}

/// Parses lines such as `2rand v0.8.5\tMIT`: the depth, the package and its licence. The
/// dependencies of a package follow it where it first appears.
pub fn parse(text: &str) -> Dependencies {
    let (mut packages, mut above) = (Dependencies::new(), Vec::<String>::new());
    for said in text.lines().filter(|said| said.starts_with(|c: char| c.is_ascii_digit())) {
        let named = said.trim_start_matches(|c: char| c.is_ascii_digit());
        let depth: usize = said[..said.len() - named.len()].parse().unwrap();
        let (package, licence) = named.trim_end_matches(" (*)").split_once('\t').unwrap();
        let mut words = package.split(' ');
        let (name, version) = (words.next().unwrap(), words.next().unwrap().trim_start_matches('v'));
        above.truncate(depth);
        let package: &mut Package = packages.entry((name.to_owned(), version.to_owned())).or_default();
        package.licence = licence.to_owned();
        package.dependents.extend(above.last().cloned());
        above.push(name.to_owned());
    }
    packages
}

#[test]
fn the_dependency_tree_is_parsed_as_cargo_prints_it() {
    let read = parse(
        "0ours v0.1.0 (/a b)\tApache-2.0\n1a v1.0.0\tMIT\n2c v1.2.0+x (proc-macro)\t\n1b v2.0.0\tMIT OR Zlib\n\
         [build-dependencies]\n2a v1.0.0\tMIT (*)\n\n0theirs v0.1.0 (/b)\tMIT\n",
    );
    let package = |licence: &str, dependents: &[&str]| Package {
        licence: licence.into(),
        dependents: dependents.iter().map(|name| (*name).to_owned()).collect(),
    };
    let expected = [
        (("a", "1.0.0"), package("MIT", &["b", "ours"])),
        (("b", "2.0.0"), package("MIT OR Zlib", &["ours"])),
        (("c", "1.2.0+x"), package("", &["a"])),
        (("ours", "0.1.0"), package("Apache-2.0", &[])),
        (("theirs", "0.1.0"), package("MIT", &[])),
    ];
    let expected = expected.map(|((name, version), package)| ((name.into(), version.into()), package));
    assert_eq!(read, expected.into());
}
