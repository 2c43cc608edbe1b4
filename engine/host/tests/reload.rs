//! Hot reload: whatever happens in the plugin folder, a valid plugin serves, and problems are reported.
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::os::unix::fs::symlink;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use common::{Place, buckets, built, eventually, fixture, problem};
use pricedrop_host::{Error, Host};
use pricedrop_model::plugin::Plugins;
use pricedrop_model::plugin::State;

/// Returns whether the serving floor policy has this width.
fn has_width(host: &Host, width: i64) -> bool {
    host.bucketing().is_some() && buckets(host, &["100"]).unwrap() == [100 / width]
}

/// Returns the digest of the file that serves as this channel.
fn channel_version(host: &Host, name: &str) -> Option<String> {
    host.status().plugin(name).and_then(|plugin| plugin.digest.clone())
}

#[test]
fn a_renamed_over_file_is_swapped_in() {
    let place = Place::new();
    place.put_plugin("hook", &built("channel-console"));
    let host = place.host();
    let _watching = host.watch().unwrap();
    let before = channel_version(&host, "hook");
    place.put_plugin("hook", &built("channel-webhook"));
    eventually("the new file serves", || channel_version(&host, "hook") != before);
    assert!(host.channel("hook").unwrap().name().starts_with("channel-webhook@"));
    assert_eq!(problem(&host, "hook"), "");
}

#[test]
fn a_changed_sidecar_alone_reloads_the_plugin() {
    let place = Place::new();
    place.put_plugin("hook", &built("channel-webhook"));
    let host = place.host();
    let _watching = host.watch().unwrap();
    assert!(host.channel("hook").unwrap().access().hosts.is_empty());
    place.put("hook.toml", "hosts = [\"a.example\"]");
    eventually("its hosts are allowed", || host.channel("hook").unwrap().access().hosts == ["a.example"]);
    fs::remove_file(place.file("hook.toml")).unwrap();
    eventually("they are not any more", || host.channel("hook").unwrap().access().hosts.is_empty());
}

#[test]
fn entries_that_are_no_regular_files_are_named_and_nothing_waits_for_them() {
    let place = Place::new();
    place.put_plugin("hook", &built("channel-webhook"));
    fs::create_dir(place.file("hook.toml")).unwrap();
    symlink("/dev/zero", place.file("zero.wasm")).unwrap();
    let host = place.host();
    let _watching = host.watch().unwrap();
    let problem_of_hook = problem(&host, "hook");
    assert!(
        problem_of_hook.contains("hook.toml") && problem_of_hook.contains("is not a regular file"),
        "{problem_of_hook}"
    );
    let folder = host.status().warnings.join("; ");
    assert!(folder.contains("zero.wasm: it is not a regular file"), "{folder}");
    fs::remove_dir(place.file("hook.toml")).unwrap();
    eventually("the plugin serves", || host.channel("hook").is_some() && problem(&host, "hook").is_empty());
}

#[test]
fn files_of_other_kinds_do_not_hide_plugins() {
    let place = Place::new();
    for number in 0..3_000 {
        place.put(&format!("{number}.tmp"), "");
    }
    place.put_plugin("hook", &built("channel-webhook"));
    assert!(place.host().channel("hook").is_some());
}

#[test]
fn a_half_written_file_keeps_the_old_one_serving() {
    let place = Place::new();
    place.put_plugin("hook", &built("channel-console"));
    let host = place.host();
    let _watching = host.watch().unwrap();
    let whole = fs::read(built("channel-webhook")).unwrap();
    fs::write(place.file("hook.wasm"), &whole[..whole.len() / 2]).unwrap();
    eventually("it is refused", || problem(&host, "hook").contains("channel-console@0.1.0 keeps serving"));
    assert!(host.channel("hook").unwrap().name().starts_with("channel-console@"));
    fs::write(place.file("hook.wasm"), &whole).unwrap();
    eventually("the whole one serves", || {
        host.channel("hook").unwrap().name().starts_with("channel-webhook@")
            && problem(&host, "hook").is_empty()
    });
}

#[test]
fn a_swapped_data_link_is_followed() {
    let place = Place::new();
    for (version, width) in [("..one", "10"), ("..two", "20")] {
        let folder = place.file(version);
        fs::create_dir(&folder).unwrap();
        fs::copy(built("channel-webhook"), folder.join("hook.wasm")).unwrap();
        fs::write(folder.join("hook.toml"), format!("rate_per_second = {width}")).unwrap();
    }
    symlink("..one", place.file("..data")).unwrap();
    symlink("..data/hook.wasm", place.file("hook.wasm")).unwrap();
    symlink("..data/hook.toml", place.file("hook.toml")).unwrap();
    let host = place.host();
    let _watching = host.watch().unwrap();
    let rate = || host.channel("hook").unwrap().access().rate_per_second;
    assert_eq!(rate(), Some(10));
    symlink("..two", place.file("..data_tmp")).unwrap();
    fs::rename(place.file("..data_tmp"), place.file("..data")).unwrap();
    eventually("the other folder's pair serves", || rate() == Some(20));
}

#[test]
fn a_replaced_folder_is_followed() {
    let place = Place::new();
    place.put_plugin("hook", &built("channel-console"));
    let host = place.host();
    let _watching = host.watch().unwrap();
    fs::rename(place.folder(), place.root().join("old")).unwrap();
    eventually("it is said to be gone", || !host.status().warnings.is_empty());
    assert!(host.channel("hook").is_some(), "it keeps serving");
    fs::create_dir(place.folder()).unwrap();
    place.put_plugin("hook", &built("channel-webhook"));
    eventually("the new folder's file serves", || {
        host.channel("hook").unwrap().name().starts_with("channel-webhook@")
            && host.status().warnings.is_empty()
    });
    place.put("hook.toml", "rate_per_second = 3");
    eventually("it is followed", || host.channel("hook").unwrap().access().rate_per_second == Some(3));
}

#[test]
fn a_removed_plugin_keeps_serving_with_a_warning() {
    let place = Place::new();
    place.put_floor("floor", "10");
    let host = place.host();
    let _watching = host.watch().unwrap();
    fs::remove_file(place.file("floor.wasm")).unwrap();
    eventually("there is a warning", || {
        host.status().warnings.iter().any(|warning| warning.contains("floor.wasm was removed"))
    });
    assert!(has_width(&host, 10));
    place.put_plugin("floor", &built("bucketing-floor"));
    eventually("the warning is gone", || host.status().warnings.is_empty());
}

#[test]
fn other_files_in_the_folder_do_not_affect_the_plugins() {
    let place = Place::new();
    place.put_floor("floor", "10");
    fs::create_dir(place.file("folder.wasm")).unwrap();
    symlink("nowhere", place.file("dangling.wasm")).unwrap();
    place.put("notes.txt", "x");
    place.put(".hidden.wasm", "x");
    place.put("alone.toml", "x");
    place.put("noise.wasm", vec![0xa5; 100_000]);
    let host = place.host();
    assert!(has_width(&host, 10));
    let warnings = host.status().warnings;
    assert_eq!(warnings.len(), 3, "{warnings:?}");
    assert!(warnings[0].starts_with("folder.wasm: it is not a regular file"), "{warnings:?}");
    assert!(warnings[1].contains("alone.toml: there is no alone.wasm"), "{warnings:?}");
    assert!(warnings[2].starts_with("noise.wasm: not WebAssembly"), "{warnings:?}");
}

#[test]
fn a_missing_folder_is_a_warning_until_it_exists() {
    let place = Place::new();
    fs::remove_dir(place.folder()).unwrap();
    let host = place.host();
    let _watching = host.watch().unwrap();
    assert!(host.status().warnings[0].contains("plugin folder"), "{:?}", host.status().warnings);
    fs::create_dir(place.folder()).unwrap();
    place.put_floor("floor", "10");
    eventually("its policy serves", || has_width(&host, 10) && host.status().warnings.is_empty());
}

#[test]
fn two_candidates_are_refused_at_the_start_and_ignored_later() {
    let place = Place::new();
    place.put_floor("one", "10");
    let host = place.host();
    place.put_floor("two", "20");
    host.reload();
    assert!(has_width(&host, 10), "the newcomer is ignored");
    let warnings = host.status().warnings;
    let [warning] = &warnings[..] else { panic!("{warnings:?}") };
    for words in
        ["one serves, two ignored", "next start will be refused", "remove two.wasm", "bucketing = \"one\""]
    {
        assert!(warning.contains(words), "{warning}");
    }
    assert_eq!(host.status().plugin("two").unwrap().state, State::Available);

    let mut options = place.options();
    let error = options.clone().build().err().unwrap();
    assert!(matches!(error, Error::TwoCandidates { .. }), "{error}");
    assert!(error.to_string().contains("one, two; name one in the configuration"), "{error}");
    options.data_dir = None;
    options.bucketing = Some("two".into());
    assert!(has_width(&options.clone().build().unwrap(), 20));
    options.bucketing = Some("tow".into());
    let error = options.build().err().unwrap().to_string();
    assert!(error.contains("did you mean \"two\"?"), "{error}");
}

#[test]
fn a_copy_beside_a_policy_is_announced_as_the_end_of_the_next_start() {
    let place = Place::new();
    place.put_floor("bucketing-floor", "10");
    place.put_plugin("throttling-coalesce", &built("throttling-coalesce"));
    let host = place.host();
    assert_eq!(host.status().warnings, Vec::<String>::new());
    place.put_floor("bucketing-floor (1)", "10");
    place.put_plugin("throttling-coalesce (1)", &built("throttling-coalesce"));
    host.reload();
    let warnings = host.status().warnings;
    for (warning, kind, stem) in
        [(&warnings[0], "bucketing", "bucketing-floor"), (&warnings[1], "throttling", "throttling-coalesce")]
    {
        let remedy = format!(
            "The next start will be refused: remove {stem} (1).wasm from the plugin folder, or name the plugin to use under [plugins] ({kind} = \"{stem}\")"
        );
        assert!(warning.ends_with(&remedy), "{warning}");
    }
    assert!(place.options().build().is_err());
    for file in ["bucketing-floor (1).wasm", "bucketing-floor (1).toml", "throttling-coalesce (1).wasm"] {
        fs::remove_file(place.file(file)).unwrap();
    }
    host.reload();
    assert!(host.status().warnings.iter().all(|warning| !warning.contains("next start")));
    assert!(place.options().build().is_ok(), "the remedy mends the start");
}

#[test]
fn with_reload_off_the_folder_is_read_only_on_request() {
    let place = Place::new();
    place.put_plugin("hook", &built("channel-console"));
    let mut options = place.options();
    options.reload = false;
    let host = options.build().unwrap();
    let _watching = host.watch().unwrap();
    place.put_plugin("hook", &built("channel-webhook"));
    assert!(host.channel("hook").unwrap().name().starts_with("channel-console@"));
    host.reload();
    assert!(host.channel("hook").unwrap().name().starts_with("channel-webhook@"));
}

#[test]
fn a_broken_plugin_is_refused_and_the_old_one_serves_even_after_a_restart() {
    let place = Place::new();
    place.put_floor("floor", "10");
    let host = place.host();
    place.put_plugin("floor", &fixture("hostile"));
    place.put("floor.toml", common::settings("loop", 1));
    host.reload();
    assert!(has_width(&host, 10));
    let refused = problem(&host, "floor");
    assert!(refused.contains("bucketing-floor@0.1.0 keeps serving"), "{refused}");
    assert!(refused.contains("bucket-of: used more than 200 ms"), "{refused}");
    drop(host);
    let host = place.host();
    assert!(has_width(&host, 10), "the last good pair survived the restart");
    assert!(host.status().plugin("floor").unwrap().last_good);
    assert!(problem(&host, "floor").contains("bucket-of: used more than 200 ms"));
}

#[test]
fn a_thousand_reloads_lose_no_call_and_leak_no_memory() {
    let place = Place::new();
    place.put_floor("floor", "10");
    place.put_plugin("hook", &built("channel-console"));
    let host = place.host();
    let stop = Arc::new(AtomicBool::new(false));
    let calls = Arc::new(AtomicU64::new(0));
    let callers: Vec<_> = (0..2)
        .map(|_| {
            let (host, stop, calls) = (host.clone(), Arc::clone(&stop), Arc::clone(&calls));
            std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    assert_eq!(buckets(&host, &["5", "15", "100"]).unwrap(), [0, 1, 10]);
                    calls.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    let reload = |rounds: u32| {
        for round in 0..rounds {
            // The mapping is the same each time, so the swap is immediate.
            place.put("floor.toml", format!("# {round}\n[limits]\ncpu_ms = {}\n", 200 + round));
            host.reload();
        }
    };
    reload(100);
    let before = resident_bytes();
    reload(900);
    let grown = resident_bytes().saturating_sub(before);
    stop.store(true, Ordering::Relaxed);
    callers.into_iter().for_each(|caller| caller.join().unwrap());
    assert_eq!(host.status().plugin("floor").unwrap().counts.reloads, 1_001);
    assert!(calls.load(Ordering::Relaxed) > 1_000);
    assert!(grown < 32 << 20, "grew by {grown} bytes");
}

fn resident_bytes() -> usize {
    let statm = fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}
