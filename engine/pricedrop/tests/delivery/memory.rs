//! Reads the memory of the plugins in another process, from `/proc/PID/mem`.

use std::fs::File;
use std::os::unix::fs::FileExt as _;

/// Wasmtime's name of the file that maps the initial memory of an instance.
const IMAGE: &str = "wasm-memory-image";

/// Returns the memory of every plugin instance in a process: its initial memory, and what it has grown by.
pub fn of_plugins(pid: u32) -> Vec<Vec<u8>> {
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let memory = File::open(format!("/proc/{pid}/mem")).unwrap();
    let mut memories: Vec<Vec<u8>> = Vec::new();
    let mut end_of_last = None;
    for mapping in maps.lines().filter_map(Mapping::parse) {
        let continues = end_of_last == Some(mapping.start);
        end_of_last = (mapping.is_image || continues).then_some(mapping.end);
        if end_of_last.is_none() {
            continue;
        }
        if !continues {
            memories.push(Vec::new());
        }
        let mut bytes = vec![0; usize::try_from(mapping.end - mapping.start).unwrap()];
        memory.read_exact_at(&mut bytes, mapping.start).unwrap();
        memories.last_mut().unwrap().extend(bytes);
    }
    memories
}

/// A range of addresses that a process may write to.
struct Mapping {
    start: u64,
    end: u64,
    is_image: bool,
}

impl Mapping {
    fn parse(line: &str) -> Option<Mapping> {
        let mut words = line.split_ascii_whitespace();
        let (start, end) = words.next()?.split_once('-')?;
        let parse = |address| u64::from_str_radix(address, 16).ok();
        let is_writable = words.next()?.starts_with("rw");
        let mapping = Mapping { start: parse(start)?, end: parse(end)?, is_image: line.contains(IMAGE) };
        is_writable.then_some(mapping)
    }
}

/// Returns whether these bytes contain that text.
pub fn holds(memory: &[u8], text: &str) -> bool {
    memory.windows(text.len()).any(|window| window == text.as_bytes())
}
