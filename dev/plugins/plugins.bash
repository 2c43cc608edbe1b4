# Sourced by build and verify: which plugins there are, and what goes into each.
# Callers stand in the checkout's root.

rust_defaults=(
  bucketing-floor bucketing-log throttling-coalesce
  channel-console channel-webhook channel-email channel-webpush channel-fcm channel-apns
  channel-sms channel-slack channel-ntfy
)
rust_fixtures=(hostile throttle-hostile channel-hostile channel-contract)
js_examples=(bucketing-js)

defaults_folder=plugins/dist
fixtures_folder=engine/host/tests/fixtures

cache="${XDG_CACHE_HOME:-$HOME/.cache}/pricedrop/plugins"

# source_folder NAME: the folder of a plugin's source.
source_folder() {
  local folder
  for folder in "plugins/$1" "plugins/fixtures/$1" "plugins/examples/$1"; do
    [ -d "$folder" ] && echo "$folder" && return
  done
  echo "no source of $1" >&2
  return 1
}

# source_files NAME: every file that a plugin's bytes depend on.
source_files() {
  local folder
  folder=$(source_folder "$1")
  find wit -type f -name '*.wit'
  case $folder in
    plugins/examples/*)
      echo dev/plugins/build-js
      find "$folder" -type f \( -name '*.js' -o -name 'package*.json' \) -not -path '*/node_modules/*'
      ;;
    *)
      echo dev/plugins/build-rust
      echo plugins/Cargo.toml
      echo plugins/Cargo.lock
      find plugins/support "$folder" -type f \( -name "*.rs" -o -name Cargo.toml -o -path "*.d/*" \)
      ;;
  esac
}

# source_digest NAME: SHA-256 over the sorted list of those files' digests and paths.
source_digest() {
  source_files "$1" | LC_ALL=C sort | xargs -d '\n' sha256sum | sha256sum | cut -d' ' -f1
}

# file_digest FILE
file_digest() {
  sha256sum <"$1" | cut -d' ' -f1
}

# recorded FOLDER NAME MEMBER: what the folder's manifest says of a plugin, a text.
recorded() {
  sed -n "s/^ *\"$2\": .*\"$3\": \"\([^\"]*\)\".*/\1/p" "$1/manifest.json" 2>/dev/null || true
}

# rust_toolchain: what the Rust plugins are built with here.
rust_toolchain() {
  echo "$(/usr/bin/rustc --version | cut -d' ' -f1-2), $(wasm-ld-22 --version | grep -o 'LLD [0-9.]*')"
}

# is_current FOLDER NAME: whether source and binary are those of the manifest.
is_current() {
  [ -f "$1/$2.wasm" ] \
    && [ "$(recorded "$1" "$2" source_sha256)" = "$(source_digest "$2")" ] \
    && [ "$(recorded "$1" "$2" wasm_sha256)" = "$(file_digest "$1/$2.wasm")" ]
}
