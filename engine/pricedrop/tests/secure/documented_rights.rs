//! Reads the required permissions from the documents, so that the documents cannot become outdated.

use pricedrop_harness::acls::{Acl, On};
use pricedrop_harness::repository;

fn read(file: &str) -> String {
    std::fs::read_to_string(repository().join(file)).unwrap()
}

/// Returns the section of a document under a heading.
fn section(file: &str, heading: &str) -> String {
    let text = read(file);
    let (_, rest) = text.split_once(&format!("{heading}\n")).unwrap();
    rest.split("\n#").next().unwrap().to_owned()
}

/// Returns the code blocks of this language.
fn blocks<'a>(text: &'a str, language: &str) -> Vec<&'a str> {
    let fence = format!("```{language}\n");
    let begun = text.split(fence.as_str()).skip(1);
    begun.map(|block| block.split("```").next().unwrap()).collect()
}

/// A Kafka ACL, and the role that needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Right {
    pub who: String,
    /// The ACL, without a user.
    pub acl: Acl,
}

fn quoted(text: &str) -> Vec<String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// Returns the table of rights in Kafka.
pub fn kafka() -> Vec<Right> {
    let section = section("docs/operations.md", "### Rights in Kafka");
    let rows = section.lines().filter(|line| line.starts_with("| ")).skip(1);
    let rows: Vec<Vec<&str>> =
        rows.map(|row| row.trim_matches('|').split(" | ").map(str::trim).collect()).collect();
    let mut topics = Vec::new();
    let mut rights = Vec::new();
    for row in rows {
        let [who, resource, operations] = row[..] else { panic!("{row:?}") };
        let (on, names) = match resource.split(' ').next().unwrap() {
            "topic" | "topics" => (On::Topic, quoted(resource)),
            "groups" => (On::Group, quoted(resource)),
            "transactional" => (On::TransactionalId, quoted(resource)),
            _ if resource.starts_with("all these topics") => (On::Topic, topics.clone()),
            _ => panic!("no resource: {resource}"),
        };
        assert!(!names.is_empty(), "{resource}");
        if on == On::Topic {
            topics.extend(names.clone());
            topics.sort();
            topics.dedup();
        }
        for name in names {
            for operation in operations.split(", ") {
                let prefixed = resource.contains("prefixed");
                let acl = Acl {
                    user: String::new(),
                    on,
                    name: name.clone(),
                    prefixed,
                    operation: operation.into(),
                };
                rights.push(Right { who: who.to_owned(), acl });
            }
        }
    }
    rights
}

/// Returns the ACLs of the matching roles, for a user.
pub fn for_user(rights: &[Right], user: &str, who: impl Fn(&str) -> bool) -> Vec<Acl> {
    let of = rights.iter().filter(|right| who(&right.who));
    of.map(|right| Acl { user: user.to_owned(), ..right.acl.clone() }).collect()
}

/// Returns the statements that grant rights in Cassandra, one block for each role.
pub fn cassandra(password: &str) -> Vec<Vec<String>> {
    let section = section("docs/operations.md", "### Grants in Cassandra");
    let statements = |block: &str| {
        block
            .split(';')
            .map(|one| one.trim().replace("'...'", &format!("'{password}'")))
            .filter(|one| !one.is_empty())
            .collect()
    };
    blocks(&section, "sql").into_iter().map(statements).collect()
}

/// Returns the line that creates a user in Redis.
pub fn redis(user: &str, password: &str) -> String {
    let text = read("schema/redis.md");
    let line = text.split("```\n").find(|block| block.starts_with("ACL SETUSER")).unwrap();
    let words: Vec<&str> = line.split_whitespace().collect();
    let line = words.join(" ").replace("SETUSER pricedrop ", &format!("SETUSER {user} "));
    line.replace(">PASSWORD", &format!(">{password}"))
}
