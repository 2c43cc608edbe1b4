# Sourced by start. One Redis, or Valkey where that is what there is.

ready_line='Ready to accept connections'
question='PING\r\n'
default_heap=
most_nodes=1

# configure FOLDER NODE
configure() {
  mkdir -p "$1/data"
  cat >"$1/redis.conf" <<CONF
bind 127.0.0.1
port $port
dir $1/data
daemonize no
save ""
# What was acknowledged outlives the process, unless it begins anew anyway.
appendonly $([ -n "$fresh" ] && echo no || echo yes)
appendfsync everysec
client-output-buffer-limit normal 0 0 0
CONF
  further "$2" >>"$1/redis.conf"
}

prepare() { :; }

# launch FOLDER: becomes the server.
launch() {
  exec setsid "$(redis_program)" "$1/redis.conf"
}
