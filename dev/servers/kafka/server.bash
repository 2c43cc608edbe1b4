# Sourced by start. A broker of Kafka, its own controller, or three of them.
# Ports: brokers on port, port+1, port+2, their controllers on the next three.

ready_line='Kafka Server started'
# ApiVersions, version 0.
question='\x00\x00\x00\x0a\x00\x12\x00\x00\x00\x00\x00\x01\xff\xff'
default_heap=512m
most_nodes=3

# All nodes of a cluster were made for this one.
cluster=pricedropdevservers00A

# configure FOLDER NODE
configure() {
  local client=$((port + $2 - 1)) controller=$((port + 2 + $2)) node voters= in_sync=1
  for ((node = 1; node <= nodes; node++)); do
    voters+=${voters:+,}$node@127.0.0.1:$((port + 2 + node))
  done
  [ "$nodes" -lt 3 ] || in_sync=2
  cat >"$1/server.properties" <<PROPERTIES
node.id=$2
process.roles=broker,controller
controller.quorum.voters=$voters
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:$client,CONTROLLER://127.0.0.1:$controller
advertised.listeners=PLAINTEXT://127.0.0.1:$client
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL
inter.broker.listener.name=PLAINTEXT
log.dirs=$1/data

# As strict as its number of nodes allows.
default.replication.factor=$nodes
min.insync.replicas=$in_sync
offsets.topic.replication.factor=$nodes
transaction.state.log.replication.factor=$nodes
transaction.state.log.min.isr=$in_sync
share.coordinator.state.topic.replication.factor=$nodes
share.coordinator.state.topic.min.isr=$in_sync
auto.create.topics.enable=false

# Small and quick, for tests.
num.partitions=4
offsets.topic.num.partitions=4
transaction.state.log.num.partitions=4
share.coordinator.state.topic.num.partitions=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
group.consumer.min.session.timeout.ms=1000
group.consumer.min.heartbeat.interval.ms=100
transaction.max.timeout.ms=900000
transaction.abort.timed.out.transaction.cleanup.interval.ms=500
num.network.threads=2
num.io.threads=4
background.threads=2
log.cleaner.dedupe.buffer.size=16777216
log.segment.bytes=268435456
PROPERTIES
  # What comes last counts.
  further "$2" >>"$1/server.properties"
}

kafka_java() {
  "${launcher[@]}" "$java" "-Dlog4j2.configurationFile=$here/kafka/log4j2.properties" -Djava.awt.headless=true \
    -cp "$(jars kafka)/*" "$@"
}

# prepare FOLDER: makes the folder one of the cluster, with its users, once.
prepare() {
  local user scram=()
  [ ! -e "$1/data/meta.properties" ] || return 0
  [ -z "$secure" ] || users+=(admin:admin-secret pricedrop:pricedrop-secret)
  for user in "${users[@]}"; do
    scram+=(--add-scram "SCRAM-SHA-256=[name=${user%%:*},password=${user#*:}]")
    scram+=(--add-scram "SCRAM-SHA-512=[name=${user%%:*},password=${user#*:}]")
  done
  kafka_java -Xmx128m -XX:TieredStopAtLevel=1 -XX:+UseSerialGC kafka.tools.StorageTool format \
    --cluster-id "$cluster" --config "$1/server.properties" "${scram[@]}" >"$1/format.log" 2>&1 \
    || { cat "$1/format.log" >&2 && die "Kafka did not accept the folder or the settings; see above"; }
}

# launch FOLDER: becomes the server.
launch() {
  launcher=(exec setsid)
  kafka_java "-Xmx$heap" -XX:+UseG1GC -XX:MaxGCPauseMillis=20 kafka.Kafka "$1/server.properties"
}
