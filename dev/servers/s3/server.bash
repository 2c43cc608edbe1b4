# Sourced by start. One versitygw over a folder: S3 with conditional writes. Its
# bucket is `pricedrop`, its access key `admin` with the secret `admin-secret`.

ready_line='S3 service listening on'
question='GET / HTTP/1.0\r\n\r\n'
default_heap=
most_nodes=1

# configure FOLDER NODE
configure() {
  mkdir -p "$1/data/pricedrop"
}

prepare() { :; }

# launch FOLDER: becomes the server.
launch() {
  exec setsid "$(s3_program)" --port "127.0.0.1:$port" --keep-alive --access admin --secret admin-secret posix "$1/data"
}
