# Sourced by setup, start, signal and stop: where things lie, which process is
# whose, what is up. What one server needs alone is in its folder's server.bash.

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/versions.bash"

# Jars, claimed ports, and the data of servers that nobody named a folder for.
root=${XDG_CACHE_HOME:-$HOME/.cache}/pricedrop/servers
me=dev/servers/$(basename "$0")

die() {
  printf '%s: %s\n' "$me" "$*" >&2
  exit 1
}

# jars KIND: the folder of its jars, another one when what goes into it changes.
jars() {
  local version="$1_version" digest
  digest=$(cat "$here/$1/pom.xml" "$here/versions.bash" | sha256sum | cut -c1-8)
  echo "$root/jars/$1-${!version}-$digest"
}

# redis_program: what serves as Redis; fails when there is none.
redis_program() {
  command -v "${PRICEDROP_REDIS_SERVER:-redis-server}" || {
    [ -z "${PRICEDROP_REDIS_SERVER:-}" ] && command -v valkey-server
  }
}

# s3_program: versitygw of the version above, once setup has built it.
s3_program() {
  local program=$root/versitygw-$s3_version/versitygw
  [ -x "$program" ] && echo "$program"
}

# birth PID: when the process began, in ticks since the boot. Nothing for one that
# is no more, or is dead and not yet taken note of. With the pid it names a
# process even after its number went to another.
birth() {
  local stat tasks
  stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
  # The name in brackets may hold anything.
  read -r -a stat <<<"${stat##*) }"
  tasks=("/proc/$1/task/"*)
  # Dead, its other threads may still hold ports.
  [ "${stat[0]}" = Z ] && [ ${#tasks[@]} -le 1 ] || echo "${stat[19]}"
}

# record PID FOLDER: from now on this folder's server is that process.
record() {
  echo "$1 $(birth "$1")" >"$2/pid"
}

# server_pid FOLDER: the process of the folder's server; fails when it has none.
server_pid() {
  local pid began
  read -r pid began 2>/dev/null <"$1/pid" || return 1
  [ "$(birth "$pid")" = "$began" ] && echo "$pid"
}

# server_folders FOLDER...: those in or one below the named that had a server.
server_folders() {
  find "$@" -maxdepth 2 -name pid -printf '%h\n' 2>/dev/null || true
}

# is_open PORT: whether somebody listens there.
is_open() {
  (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

# reacts PORT BYTES: whether whoever listens there answers these bytes within
# seconds, be it by hanging up: a TLS port does not care for the question.
reacts() {
  (
    exec 3<>"/dev/tcp/127.0.0.1/$1" || exit 1
    printf '%b' "$2" >&3
    status=0
    LC_ALL=C read -r -n 1 -t 5 <&3 || status=$?
    [ "$status" -le 128 ]
  ) 2>/dev/null
}

# wait_until SECONDS COMMAND...: asks again until it succeeds.
wait_until() {
  local deadline=$((SECONDS + $1))
  shift
  until "$@"; do
    [ "$SECONDS" -lt "$deadline" ] || return 1
    sleep 0.05
  done
}
