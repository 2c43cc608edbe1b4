//! Checks that files of a crate do not import each other in cycles.
//!
//! Imports are found in the source text: every path in `use`, and every other path that begins with
//! `crate`, `super`, `self` or a submodule. Code under `#[cfg(test)]` is ignored. A re-export (`pub
//! use`) is resolved: a file that imports through it imports the file that defines the item. A
//! module that only re-exports an item of its own submodule does not import it. No crate may
//! re-export items of another crate of this workspace: each item is imported from the crate that
//! defines it.

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};

use crate::{none, tree};

#[test]
fn files_of_a_crate_do_not_import_each_other_in_circles() {
    let in_words = |folder: &str, circle: Vec<String>| format!("{folder}: {}", circle.join(", "));
    let of = |folder: String| {
        let circles = circles(&Crate::in_folder(&folder));
        circles.into_iter().map(|circle| in_words(&folder, circle)).collect::<Vec<_>>()
    };
    none("files that import each other in circles", folders().flat_map(of).collect());
}

#[test]
fn no_crate_re_exports_another_one() {
    let of = |folder: String| {
        let facades = facades(&Crate::in_folder(&folder));
        facades
            .into_iter()
            .map(|(file, path)| format!("{folder}/src/{file}: pub use {}", path.join("::")))
            .collect::<Vec<_>>()
    };
    none("what has to be imported from the crate that has it", folders().flat_map(of).collect());
}

/// Returns the folders of the crates.
fn folders() -> impl Iterator<Item = String> {
    tree::manifests().into_iter().map(|it| it.file.replace("/Cargo.toml", ""))
}

/// The segments of a path, either as written or of a module.
type Path = Vec<String>;

/// The modules of a crate.
struct Crate {
    /// Each module with its file and the paths that the file names.
    modules: BTreeMap<Path, (String, Named)>,
}

impl Crate {
    /// Reads the crate in a folder of the repository.
    fn in_folder(folder: &str) -> Crate {
        let source = format!("{folder}/src/");
        let files = tree::ending(&[".rs"]).into_iter().filter(|file| file.starts_with(&source));
        let texts = files.map(|file| (file[source.len()..].to_owned(), tree::read(&file)));
        Crate::of(texts.collect())
    }

    /// Reads a crate from its files, with paths relative to `src`. A program beside a library is
    /// not a module of it.
    fn of(files: BTreeMap<String, String>) -> Crate {
        let has_library = files.contains_key("lib.rs");
        let is_program = |file: &str| file.starts_with("bin/") || (file == "main.rs" && has_library);
        let files = files.into_iter().filter(|(file, _)| !is_program(file));
        let named = |file: &str, text: &str| Named::of(file, text);
        let modules = files.map(|(file, text)| (module(&file), (file.clone(), named(&file, &text))));
        Crate { modules: modules.collect() }
    }

    /// Returns the modules that a module imports.
    fn imports(&self, module: &Path) -> BTreeSet<Path> {
        let named = &self.modules[module].1;
        let own = named.paths.iter().filter_map(|it| self.leads_to(it));
        let is_used = |path: &Path| path.last().is_some_and(|name| named.words.contains(name));
        let handed_on = named.handed_on.iter().filter_map(|it| Some((&it.1, self.leads_to(it)?)));
        let handed_on = handed_on.filter(|(path, to)| is_used(path) || !to.starts_with(module));
        own.chain(handed_on.map(|(_, to)| to)).filter(|to| to != module).collect()
    }

    /// Returns the module that has what a path names, after all re-exports. `None` means another crate.
    fn leads_to(&self, (here, path): &(Path, Path)) -> Option<Path> {
        let mut path = self.absolute(here, path)?;
        let mut passed = BTreeSet::new();
        while let Some(next) = self.handed_on_from(&path).filter(|it| passed.insert(it.clone())) {
            path = next;
        }
        Some(self.longest_module(&path))
    }

    /// Returns the path that a re-export leads to. `None` means the path is not re-exported.
    fn handed_on_from(&self, path: &Path) -> Option<Path> {
        let module = self.longest_module(path);
        let (name, rest) = path[module.len()..].split_first()?;
        let handed_on = &self.modules.get(&module)?.1.handed_on;
        let (here, origin) = handed_on.iter().find(|(_, origin)| origin.last() == Some(name))?;
        Some([self.absolute(here, origin)?, rest.to_vec()].concat())
    }

    /// Returns the module that a path leads into.
    fn longest_module(&self, path: &[String]) -> Path {
        let ends = (0..=path.len()).rev();
        ends.map(|end| path[..end].to_vec())
            .find(|start| self.modules.contains_key(start))
            .unwrap_or_default()
    }

    /// Returns a path from the root of the crate. `None` means it leads into another crate.
    fn absolute(&self, here: &Path, path: &Path) -> Option<Path> {
        let mut base = match path[0].as_str() {
            "crate" => Path::new(),
            "self" | "super" => here.clone(),
            name if self.modules.contains_key(&[here.clone(), vec![name.to_owned()]].concat()) => {
                here.clone()
            }
            _ => return None,
        };
        for segment in path {
            match segment.as_str() {
                "crate" | "self" => {}
                "super" => drop(base.pop()),
                _ => base.push(segment.clone()),
            }
        }
        Some(base)
    }
}

/// Returns the module of a file: `lease` for both `lease/mod.rs` and `lease.rs`.
fn module(file: &str) -> Path {
    let name = file.trim_end_matches(".rs");
    let name = name.strip_suffix("/mod").unwrap_or(name);
    let name = if name == "lib" || name == "main" { "" } else { name };
    name.split('/').filter(|segment| !segment.is_empty()).map(str::to_owned).collect()
}

/// The paths that a file names, each with the module in which it names it.
#[derive(Default)]
struct Named {
    here: Path,
    paths: Vec<(Path, Path)>,
    /// The paths of `pub use`.
    handed_on: Vec<(Path, Path)>,
    /// Every word outside `use`.
    words: BTreeSet<String>,
}

impl Named {
    fn of(file: &str, text: &str) -> Named {
        let mut named = Named { here: module(file), ..Named::default() };
        named.read(text.parse().unwrap_or_else(|error| panic!("{file}: {error}")));
        named
    }

    fn read(&mut self, stream: TokenStream) {
        let tokens: Vec<_> = stream.into_iter().collect();
        let mut at = 0;
        while at < tokens.len() {
            at = self.read_one(&tokens, at);
        }
    }

    /// Reads the item that begins at `at`. Returns where the next one begins.
    fn read_one(&mut self, tokens: &[TokenTree], at: usize) -> usize {
        match &tokens[at] {
            TokenTree::Punct(sign) if sign.as_char() == '#' && is_test(tokens.get(at + 1)) => {
                behind_item(tokens, at + 2)
            }
            TokenTree::Ident(word) if word == "use" => self.read_use(tokens, at),
            TokenTree::Ident(word) if word == "mod" && is_inline(tokens, at) => {
                self.here.push(tokens[at + 1].to_string());
                self.read_one(tokens, at + 2);
                self.here.pop();
                at + 3
            }
            // Declaring a module is not using it.
            TokenTree::Ident(word) if word == "mod" => at + 2,
            // The path in `pub(in …)` is not an import.
            TokenTree::Ident(word) if word == "pub" && tokens.get(at + 1).is_some_and(is_scope) => at + 2,
            TokenTree::Ident(_) => {
                let (path, behind) = path(tokens, at);
                self.words.extend(path.first().cloned());
                if path.len() > 1 {
                    self.paths.push((self.here.clone(), path));
                }
                behind
            }
            TokenTree::Group(group) => {
                self.read(group.stream());
                at + 1
            }
            _ => at + 1,
        }
    }

    fn read_use(&mut self, tokens: &[TokenTree], at: usize) -> usize {
        let end =
            tokens[at..].iter().position(|token| is_sign(token, ';')).map_or(tokens.len(), |it| at + it);
        let leaves = leaves(&tokens[at + 1..end]).into_iter().map(|path| (self.here.clone(), path));
        if is_public(&tokens[..at]) {
            self.handed_on.extend(leaves);
        } else {
            self.paths.extend(leaves);
        }
        end + 1
    }
}

/// Reads the path that begins at `at`. Returns it and where it ends.
fn path(tokens: &[TokenTree], mut at: usize) -> (Path, usize) {
    let mut path = vec![tokens[at].to_string()];
    at += 1;
    while let [TokenTree::Punct(first), TokenTree::Punct(second), TokenTree::Ident(word), ..] = &tokens[at..]
        && first.as_char() == ':'
        && second.as_char() == ':'
    {
        path.push(word.to_string());
        at += 3;
    }
    (path, at)
}

/// Returns every path of a `use` tree.
fn leaves(tree: &[TokenTree]) -> Vec<Path> {
    let Some(TokenTree::Ident(_)) = tree.first() else { return Vec::new() };
    let (stem, behind) = path(tree, 0);
    let below = tree[behind..].iter().find_map(|token| match token {
        TokenTree::Group(group) => Some(branches(group)),
        _ => None,
    });
    match below {
        Some(below) => below.into_iter().map(|path| [stem.clone(), path].concat()).collect(),
        None => vec![stem],
    }
}

fn branches(group: &Group) -> Vec<Path> {
    let tokens: Vec<_> = group.stream().into_iter().collect();
    tokens.split(|token| is_sign(token, ',')).flat_map(leaves).collect()
}

fn is_sign(token: &TokenTree, sign: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == sign)
}

/// Returns whether the tokens end with `pub` or `pub(…)`.
fn is_public(before: &[TokenTree]) -> bool {
    let is_pub = |token: &TokenTree| matches!(token, TokenTree::Ident(word) if word == "pub");
    match before {
        [.., word, TokenTree::Group(_)] => is_pub(word),
        [.., word] => is_pub(word),
        [] => false,
    }
}

fn is_test(attribute: Option<&TokenTree>) -> bool {
    let text = attribute.map(TokenTree::to_string).unwrap_or_default();
    text.replace(char::is_whitespace, "") == "[cfg(test)]"
}

fn is_body(token: &TokenTree) -> bool {
    matches!(token, TokenTree::Group(group) if group.delimiter() == Delimiter::Brace)
}

fn is_scope(token: &TokenTree) -> bool {
    matches!(token, TokenTree::Group(group) if group.delimiter() == Delimiter::Parenthesis)
}

fn is_inline(tokens: &[TokenTree], at: usize) -> bool {
    tokens.get(at + 2).is_some_and(is_body)
}

/// Returns where the item ends that begins at `at`.
fn behind_item(tokens: &[TokenTree], at: usize) -> usize {
    let end = tokens[at..].iter().position(|token| is_sign(token, ';') || is_body(token));
    end.map_or(tokens.len(), |end| at + end + 1)
}

/// Returns the cycles: groups of files that all lead to each other.
fn circles(of: &Crate) -> Vec<Vec<String>> {
    let imports: BTreeMap<_, _> = of.modules.keys().map(|it| (it, of.imports(it))).collect();
    let reached: BTreeMap<_, _> = of.modules.keys().map(|it| (it, reached(&imports, it))).collect();
    let circle = |start: &Path| -> BTreeSet<String> {
        let back = |it: &&Path| reached[*it].contains(start);
        reached[start].iter().filter(back).map(|it| of.modules[it].0.clone()).collect()
    };
    let circles: BTreeSet<_> = of.modules.keys().map(circle).filter(|circle| !circle.is_empty()).collect();
    circles.into_iter().map(|circle| circle.into_iter().collect()).collect()
}

/// Returns the re-exports of items of other crates of ours, with their files.
fn facades(of: &Crate) -> Vec<(String, Path)> {
    let handed_on =
        of.modules.values().flat_map(|(file, named)| named.handed_on.iter().map(move |it| (file, it)));
    let facades = handed_on.filter(|(_, (_, path))| path[0].starts_with("pricedrop"));
    facades.map(|(file, (_, path))| (file.clone(), path.clone())).collect()
}

fn reached(imports: &BTreeMap<&Path, BTreeSet<Path>>, start: &Path) -> BTreeSet<Path> {
    let (mut reached, mut next) = (BTreeSet::new(), vec![start]);
    while let Some(module) = next.pop() {
        next.extend(imports[module].iter().filter(|it| reached.insert((*it).clone())));
    }
    reached
}

#[cfg(test)]
mod tests {
    use super::{Crate, circles, facades};

    fn circles_of<const N: usize>(files: [(&str, &str); N]) -> Vec<Vec<String>> {
        let files = files.map(|(file, text)| (file.to_owned(), text.to_owned()));
        circles(&Crate::of(files.into()))
    }

    #[test]
    fn two_files_that_import_each_other_are_a_circle() {
        let circles = circles_of([
            ("lib.rs", "mod a; mod b; pub use a::A;"),
            ("a.rs", "use std::{fmt, io}; use crate::b::{self, B}; pub struct A;"),
            ("b/mod.rs", "pub fn b() -> super::a::A { super::a::A }"),
        ]);
        assert_eq!(circles, [["a.rs", "b/mod.rs"]]);
    }

    #[test]
    fn a_file_that_uses_its_own_module_and_is_used_by_it_is_a_circle() {
        let circles = circles_of([
            ("lib.rs", "mod a;"),
            ("a/mod.rs", "mod inner; pub struct A; pub fn run() { inner::go(A) }"),
            ("a/inner.rs", "use super::A; pub fn go(_: A) {}"),
        ]);
        assert_eq!(circles, [["a/inner.rs", "a/mod.rs"]]);
    }

    #[test]
    fn a_file_that_uses_what_it_hands_on_imports_it() {
        let circles = circles_of([
            ("lib.rs", "mod a; pub use a::A; fn run() -> A { A }"),
            ("a.rs", "use crate::run; pub struct A;"),
        ]);
        assert_eq!(circles, [["a.rs", "lib.rs"]]);
    }

    #[test]
    fn a_module_map_between_two_files_does_not_hide_a_circle() {
        let circles = circles_of([
            ("lib.rs", "mod a; mod b; pub use a::A; pub use b::B;"),
            ("a.rs", "use crate::B; pub struct A(B);"),
            ("b.rs", "pub struct B(Box<super::A>);"),
        ]);
        assert_eq!(circles, [["a.rs", "b.rs"]]);
    }

    #[test]
    fn a_re_export_of_another_crate_is_found() {
        let files = [("lib.rs", "mod a;"), ("a.rs", "use pricedrop_b::A; pub use pricedrop_b::B;")];
        let files = files.map(|(file, text)| (file.to_owned(), text.to_owned()));
        let facades = facades(&Crate::of(files.into()));
        assert_eq!(facades.len(), 1);
        assert_eq!(facades[0].1, ["pricedrop_b", "B"]);
    }

    #[test]
    fn tests_comments_and_a_map_are_no_imports() {
        let circles = circles_of([
            ("lib.rs", "mod a; mod b; pub use a::A; pub(crate) use self::b::b;"),
            ("a.rs", "//! See [`crate::b`].\n use crate::A; #[cfg(test)] mod tests { use crate::b::b; }"),
            ("b.rs", "use crate::a::A; /* crate::a */ #[cfg(test)] use crate::A;"),
        ]);
        assert_eq!(circles, Vec::<Vec<String>>::new());
    }
}
