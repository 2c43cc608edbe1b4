# Sourced by start. One node of Cassandra.
# Ports: clients on port, other nodes, which there are none of, on the next two.

ready_line='Starting listening for CQL clients'
# OPTIONS, protocol version 4.
question='\x04\x00\x00\x00\x05\x00\x00\x00\x00'
default_heap=512m
most_nodes=1

# configure FOLDER NODE
configure() {
  mkdir -p "$1/triggers"
  settings "$1" >"$1/ours.yaml"
  further "$2" >"$1/further.yaml"
  # A key that both have is the caller's, with all below it.
  awk '
    FILENAME == ARGV[1] { if (/^[a-z_]+:/) theirs[$1]; next }
    /^[a-z_]+:/ { dropped = $1 in theirs }
    !dropped
  ' "$1/further.yaml" "$1/ours.yaml" >"$1/cassandra.yaml"
  cat "$1/further.yaml" >>"$1/cassandra.yaml"
}

settings() {
  cat <<YAML
cluster_name: pricedrop
num_tokens: 1
partitioner: org.apache.cassandra.dht.Murmur3Partitioner
endpoint_snitch: SimpleSnitch
seed_provider:
  - class_name: org.apache.cassandra.locator.SimpleSeedProvider
    parameters:
      - seeds: "127.0.0.1:$((port + 1))"
listen_address: 127.0.0.1
storage_port: $((port + 1))
ssl_storage_port: $((port + 2))
rpc_address: 127.0.0.1
native_transport_port: $port
start_native_transport: true
data_file_directories: [$1/data/tables]
commitlog_directory: $1/data/commitlog
saved_caches_directory: $1/data/saved_caches
hints_directory: $1/data/hints
cdc_raw_directory: $1/data/cdc_raw
storage_compatibility_mode: NONE
authenticator: AllowAllAuthenticator
authorizer: AllowAllAuthorizer
role_manager: CassandraRoleManager
server_encryption_options: {internode_encryption: none}
client_encryption_options: {enabled: false}
$(commit_log)
commitlog_disk_access_mode: legacy
commitlog_segment_size: 16MiB
commitlog_total_space: 512MiB
disk_access_mode: mmap_index_only
auto_snapshot: false
incremental_backups: false
hinted_handoff_enabled: false
concurrent_reads: 16
concurrent_writes: 16
concurrent_compactors: 1
compaction_throughput: 0MiB/s
memtable_heap_space: 128MiB
memtable_offheap_space: 128MiB
memtable_allocation_type: offheap_buffers
key_cache_size: 16MiB
file_cache_size: 64MiB
networking_cache_size: 32MiB
native_transport_max_frame_size: 16MiB
# A busy test machine is slow, not broken.
read_request_timeout: 30s
range_request_timeout: 30s
write_request_timeout: 30s
request_timeout: 30s
YAML
}

# What was acknowledged outlives the process, unless it begins anew anyway:
# periodic would lose seconds of it.
commit_log() {
  if [ -n "$fresh" ]; then
    printf '%s\n' 'commitlog_sync: periodic' 'commitlog_sync_period: 10s'
  else
    echo 'commitlog_sync: batch'
  fi
}

prepare() { :; }

# launch FOLDER: becomes the server.
launch() {
  exec setsid "$java" "@$here/cassandra/jvm.options" "-Xmx$heap" "-javaagent:$(echo "$(jars cassandra)"/jamm-*.jar)" \
    "-Dcassandra.config=file://$1/cassandra.yaml" "-Dcassandra.storagedir=$1/data" "-Dcassandra.logdir=$1" \
    "-Dcassandra.triggers_dir=$1/triggers" "-Dlogback.configurationFile=$here/cassandra/logback.xml" \
    -cp "$(jars cassandra)/*" org.apache.cassandra.service.CassandraDaemon
}
