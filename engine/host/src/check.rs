//! Checks the files of one plugin as the host does when it loads them, and runs its author's cases:
//! the command `pricedrop plugin check`.

use std::fs;
use std::path::Path;

use crate::access_check::AccessCheck;
use crate::cases::{self, CaseFile};
use crate::engine::Engine;
use crate::error::Error;
use crate::files::PluginFiles;
use crate::folder::{Listing, ReadError, read_files};
use crate::host::FILE_BYTES;
use crate::limits::Limits;
use crate::load::Loader;
use crate::loaded::Loaded;
use crate::metrics::PluginMetrics;
use crate::sidecar::Sidecar;
use pricedrop_model::plugin::Kind;

/// The result of a check.
#[derive(Debug, Clone, Default, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// `id@version`; none if the plugin could not be loaded.
    pub plugin: Option<String>,
    /// The plugin's kind; none if it could not be loaded.
    pub kind: Option<Kind>,
    /// A bucketing policy's identity with these settings.
    pub policy: Option<String>,
    /// SHA-256 of the `.wasm` file, in the format of `plugins.allow`.
    pub wasm_digest: Option<String>,
    /// Number of cases that were run from files; cases of the sidecar are not counted.
    pub cases: usize,
    /// Every problem, as text. If empty, the plugin passed.
    pub problems: Vec<String>,
}

/// Checks `name.wasm` with the `name.toml` beside it, and every `*.json` in the folder `cases`, or
/// (none) in a folder `cases` beside it. Checks what the sidecar allows with `access_check`.
///
/// # Errors
/// The engine cannot start. Problems of the plugin are in the report.
pub fn check(
    wasm: &Path,
    cases: Option<&Path>,
    limits: &Limits,
    access_check: Option<&AccessCheck>,
) -> Result<Report, Error> {
    let loader = Loader { engine: Engine::new()?, cache: None, limits: limits.clone(), allow_digests: None };
    let mut report = Report::default();
    let files = match read(wasm) {
        Ok(files) => files,
        Err(problem) => {
            report.problems.push(problem);
            return Ok(report);
        }
    };
    match loader.load(&files, PluginMetrics::default()) {
        Ok(loaded) => report.describe(&loaded),
        Err(error) => report.problems.push(error.to_string()),
    }
    let access = access_check.map_or(Ok(()), |check| check.check(&files, limits));
    report.problems.extend(access.err().map(|error| error.to_string()));
    let beside = wasm.with_file_name("cases");
    for file in case_files(cases.unwrap_or(&beside)) {
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        match run_file(&loader, &files, &file, &mut report.cases) {
            Ok(problems) => {
                report.problems.extend(problems.into_iter().map(|problem| format!("{name}: {problem}")));
            }
            Err(problem) => report.problems.push(format!("{name}: {problem}")),
        }
    }
    Ok(report)
}

impl Report {
    fn describe(&mut self, loaded: &Loaded) {
        let meta = loaded.meta();
        self.plugin = Some(meta.name.clone());
        self.kind = Some(loaded.kind());
        self.policy = loaded.policy().map(|policy| policy.name.clone());
        self.wasm_digest = Some(meta.wasm_digest.to_string());
    }
}

/// Reads the files of the plugin with this `.wasm` file.
pub(crate) fn read(wasm: &Path) -> Result<PluginFiles, String> {
    let stem = wasm.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let parent = wasm.parent().filter(|parent| !parent.as_os_str().is_empty());
    let folder = parent.unwrap_or(Path::new("."));
    if !wasm.is_file() || wasm.extension().is_none_or(|extension| extension != "wasm") {
        return Err(format!("{}: this .wasm file does not exist", wasm.display()));
    }
    let most = Limits::default().wasm_bytes.max(FILE_BYTES);
    read_files(folder, &Listing::of(folder), &stem, most).map_err(|unread| match unread {
        ReadError::Changing => format!("{}: its files are changing; try again", wasm.display()),
        ReadError::Refused(error) => error.to_string(),
    })
}

fn case_files(folder: &Path) -> Vec<std::path::PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let paths = entries.flatten().map(|entry| entry.path());
    let mut files: Vec<_> = paths.filter(|path| path.extension().is_some_and(|it| it == "json")).collect();
    files.sort();
    files
}

/// Runs the cases of one file, with the settings and templates in it. Adds their number to `count`.
fn run_file(
    loader: &Loader,
    files: &PluginFiles,
    file: &Path,
    count: &mut usize,
) -> Result<Vec<String>, String> {
    let text = fs::read_to_string(file).map_err(|error| error.to_string())?;
    let cases: CaseFile =
        serde_json::from_str(&text).map_err(|error| format!("not a valid file of cases: {error}"))?;
    let own = files.sidecar.as_deref().unwrap_or_default();
    let own = Sidecar::parse(&format!("{}.toml", files.stem), own, &loader.limits).unwrap_or_default();
    let sidecar = Sidecar { settings: cases.settings, cases: Vec::new(), ..own };
    let mut files = files.clone();
    files.templates.extend(cases.templates);
    let loaded =
        loader.load_with(&files, &sidecar, PluginMetrics::default()).map_err(|error| error.to_string())?;
    if loaded.kind() != cases.kind {
        return Err(format!("cases of a {} plugin, but this is a {} plugin", cases.kind, loaded.kind()));
    }
    *count += cases.cases.len();
    Ok(cases::run(&cases.cases, &loaded))
}
