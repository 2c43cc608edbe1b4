//! Checks that every promise of README.md and CONTRIBUTING.md names evidence that exists: tests, or
//! for a figure the benchmark that measures it.

use std::collections::HashSet;

use crate::{none, tree};

/// A table of promises, one in each row.
struct Table {
    /// The document.
    file: &'static str,
    /// The line with the names of the columns. The first column is the promise, the last its evidence.
    header: &'static str,
}

const PROMISES: [Table; 2] = [
    Table { file: "README.md", header: "| Promise | Held by |" },
    Table { file: "CONTRIBUTING.md", header: "| Promise | Test |" },
];

const FIGURES: [Table; 2] = [
    Table { file: "README.md", header: "| What | Figure | Benchmark |" },
    Table { file: "README.md", header: "| What | Figure | Goal | Benchmark |" },
];

/// A row of a table.
struct Row {
    /// Its file and line.
    place: String,
    promise: String,
    evidence: String,
}

impl Table {
    fn rows(&self) -> Vec<Row> {
        let text = tree::read(self.file);
        let mut lines = (1..).zip(text.lines()).skip_while(|(_, line)| *line != self.header).skip(2);
        let rows: Vec<Row> = std::iter::from_fn(|| lines.next().filter(|(_, line)| line.starts_with('|')))
            .map(|(at, line)| Row::read(format!("{}:{at}", self.file), line))
            .collect();
        assert!(!rows.is_empty(), "{}: there is no table with the columns {}", self.file, self.header);
        rows
    }
}

impl Row {
    fn read(place: String, line: &str) -> Row {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let (promise, evidence) = (cells[0].to_owned(), cells[cells.len() - 1].to_owned());
        Row { place, promise, evidence }
    }

    /// Returns what the last column names: the targets of links, and what is in backticks. A target of
    /// make is only another way to run the tests.
    fn names(&self) -> Vec<&str> {
        let links = self.evidence.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        let quoted = self.evidence.split('`').skip(1).step_by(2).filter(|name| !name.starts_with("make "));
        links.chain(quoted).collect()
    }

    fn findings(&self, is_evidence: impl Fn(&str) -> bool) -> Vec<String> {
        let Row { place, promise, .. } = self;
        let names = self.names();
        if names.is_empty() {
            return vec![format!("{place}: no evidence is named for {promise:?}")];
        }
        let missing = names.into_iter().filter(|name| !is_evidence(name));
        missing.map(|name| format!("{place}: {name}, named for {promise:?}, does not exist")).collect()
    }
}

/// The tests of the repository, and the functions of conformance suites, which adapters call in theirs.
struct Tests {
    names: HashSet<String>,
    /// The files that contain them.
    files: Vec<String>,
}

impl Tests {
    fn read() -> Tests {
        let (mut names, mut files) = (HashSet::new(), Vec::new());
        for file in tree::ending(&[".rs"]) {
            let mut of_file = names_of_tests(&tree::read(&file));
            if file.starts_with("engine/testing/src/conformance/") {
                of_file.extend(tree::read(&file).lines().filter_map(name_of_function));
            }
            if !of_file.is_empty() {
                files.push(file);
            }
            names.extend(of_file);
        }
        Tests { names, files }
    }

    /// Returns whether this is a test, a file or folder with tests, or a script that checks something.
    fn know(&self, name: &str) -> bool {
        let folder = format!("{}/", name.trim_end_matches('/'));
        let is_script = || name.starts_with("dev/") && tree::root().join(first_word(name)).is_file();
        self.names.contains(name)
            || self.files.iter().any(|file| file == name || file.starts_with(&folder))
            || is_script()
    }
}

fn first_word(text: &str) -> &str {
    text.split(' ').next().unwrap_or(text)
}

fn names_of_tests(source: &str) -> Vec<String> {
    let (mut names, mut is_test) = (Vec::new(), false);
    for line in source.lines().map(str::trim) {
        is_test |= line == "#[test]" || line.starts_with("#[tokio::test");
        if let Some(name) = name_of_function(line).filter(|_| is_test) {
            names.push(name);
            is_test = false;
        }
    }
    names
}

fn name_of_function(line: &str) -> Option<String> {
    let (_, rest) = line.split_once("fn ")?;
    rest.split(['(', '<']).next().map(str::to_owned)
}

/// Returns the names of sections and parts of the benchmark: the keys of its lists of functions.
fn benchmarks() -> HashSet<String> {
    let lists = [tree::read("bench/src/main.rs"), tree::read("bench/src/cluster/mod.rs")].concat();
    let keys = lists.lines().filter_map(|line| line.trim().strip_prefix("(\"")?.split('"').next());
    keys.map(str::to_owned).collect()
}

#[test]
fn every_promise_names_tests_that_exist() {
    let tests = Tests::read();
    let rows = PROMISES.iter().flat_map(Table::rows);
    none("promises without evidence", rows.flat_map(|row| row.findings(|name| tests.know(name))).collect());
}

#[test]
fn every_figure_names_the_benchmark_that_measures_it() {
    let (tests, benchmarks) = (Tests::read(), benchmarks());
    assert!(benchmarks.len() > 5, "{benchmarks:?}");
    let is_measured = |name: &str| benchmarks.contains(name) || tests.names.contains(name);
    let rows = FIGURES.iter().flat_map(Table::rows);
    none("figures without a benchmark", rows.flat_map(|row| row.findings(is_measured)).collect());
}

#[test]
fn a_promise_without_evidence_and_evidence_that_does_not_exist_are_found() {
    let found = |line| Row::read("README.md:1".into(), line).findings(|name| name == "a_test");
    assert_eq!(found("| Nothing is lost | `a_test`, longer by `make test-faults` |"), [""; 0]);
    assert_eq!(
        found("| Nothing is lost | tested well |"),
        ["README.md:1: no evidence is named for \"Nothing is lost\""]
    );
    assert_eq!(
        found("| Nothing is lost | [x](x.rs) |"),
        ["README.md:1: x.rs, named for \"Nothing is lost\", does not exist"]
    );
}
