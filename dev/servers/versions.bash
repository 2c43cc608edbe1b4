# The versions of all test servers and of what they are fetched with. The images
# of docker-compose.yml follow these; a test of dev/harness holds them together.

kafka_version=4.3.1
cassandra_version=5.0.9
s3_version=1.8.0
# Kafka logs through slf4j and brings no backend that fits.
log4j_version=2.25.4
maven_dependency_plugin=org.apache.maven.plugins:maven-dependency-plugin:3.6.1
