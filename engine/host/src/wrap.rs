//! Converts the bytes of a `.wasm` file to a component. Components are returned as they are, and
//! core modules with an embedded component type are wrapped. Other files are refused, with a
//! description of what they are and a remedy.

use std::borrow::Cow;

use wit_component::ComponentEncoder;

use crate::engine::Engine;
use crate::error::LoadError;

/// The layer of a WebAssembly file, from bytes 4 to 7 of its preamble.
enum Layer {
    Core,
    Component,
    Unknown,
}

/// Returns the component in these bytes.
///
/// # Errors
/// The bytes are not a component and cannot be wrapped; the text says what they are.
pub(crate) fn to_component<'a>(
    engine: &Engine,
    file: &str,
    bytes: &'a [u8],
) -> Result<Cow<'a, [u8]>, LoadError> {
    if !bytes.starts_with(b"\0asm") {
        let (reason, remedy) = what_else(bytes);
        return Err(LoadError::of_file(file, reason, remedy));
    }
    match layer(bytes) {
        Layer::Component => Ok(bytes.into()),
        Layer::Core => wrap(engine, file, bytes).map(Cow::Owned),
        Layer::Unknown => Err(LoadError::of_file(
            file,
            "WebAssembly of an unknown version, or an incomplete file",
            "build a component with current tools, and replace the file by a rename",
        )),
    }
}

fn layer(bytes: &[u8]) -> Layer {
    match bytes.get(4..8) {
        Some([1, 0, 0, 0]) => Layer::Core,
        Some([0x0d, 0, 1, 0]) => Layer::Component,
        _ => Layer::Unknown,
    }
}

fn wrap(engine: &Engine, file: &str, module: &[u8]) -> Result<Vec<u8>, LoadError> {
    // `metadata::decode` assumes a valid module.
    wasmtime::Module::validate(engine.wasmtime(), module).map_err(|error| {
        LoadError::of_file(
            file,
            format!("a broken core module: {error:#}"),
            "build it again, and copy the complete file",
        )
    })?;
    let (_, metadata) = wit_component::metadata::decode(module).map_err(|error| {
        LoadError::of_file(
            file,
            format!("a broken core module: {error:#}"),
            "build it again, and copy the complete file",
        )
    })?;
    if metadata.resolve.worlds[metadata.world].exports.is_empty() {
        return Err(LoadError::of_file(
            file,
            "a core module without an embedded component type",
            "build it with wit-bindgen, or embed the type: wasm-tools component embed wit/<contract> module.wasm -o plugin.wasm",
        ));
    }
    let encoded = ComponentEncoder::default().validate(true).module(module).and_then(|mut it| it.encode());
    encoded.map_err(|error| {
        LoadError::of_file(
            file,
            format!("a core module that cannot be made a component: {error:#}"),
            "build it for wasm32-unknown-unknown or wasm32-wasip2; wasm32-wasip1 needs an adapter: wasm-tools component new --adapt",
        )
    })
}

/// Returns what a file without the WebAssembly magic number is, and the remedy.
fn what_else(bytes: &[u8]) -> (&'static str, &'static str) {
    const REBUILD: &str = "build the plugin as a WebAssembly component";
    let text = std::str::from_utf8(bytes).ok().map(str::trim_start);
    match (bytes, text) {
        ([], _) => ("empty", "replace the file by a rename"),
        (b"\0" | b"\0a" | b"\0as", _) => ("incomplete", "replace the file by a rename"),
        ([0x7f, b'E', b'L', b'F', ..], _) => (
            "a program or compiled code for a machine, not WebAssembly",
            "put the component itself here; the engine compiles it",
        ),
        ([0x1f, 0x8b, ..] | [0x28, 0xb5, 0x2f, 0xfd, ..] | [b'P', b'K', 3, 4, ..], _) => {
            ("a compressed file", "unpack it first")
        }
        (_, Some(text)) if text.starts_with(['(', ';']) => {
            ("WebAssembly as text", "translate it: wasm-tools parse plugin.wat -o plugin.wasm")
        }
        (_, Some(text)) if text.starts_with('<') => ("a web page, perhaps of a failed download", REBUILD),
        (_, Some(_)) => (
            "text, not WebAssembly",
            "compile it: for JavaScript with componentize-js or componentize-qjs, for Rust with wit-bindgen",
        ),
        (_, None) => ("not WebAssembly", REBUILD),
    }
}
