-- SPDX-License-Identifier: Apache-2.0
-- Prosody 0.12 under scripts/bench: epoll and the generational collector, SQL storage, no rate limits.
--
-- An account keeps SCRAM credentials of one hash (password_hash), hence a host for each.

network_backend = "epoll"
network_settings = { tcp_backlog = 1024 }
gc = { mode = "generational" }
-- With the default of 64 accounts, a message to or from the 65th is two queries.
blocklist_cache_size = 20000

pidfile = "$directory/prosody.pid"
data_path = "$directory/data"
certificates = "$directory"
daemonize = false
run_as_root = false

interfaces = { "$address" }
c2s_ports = { $port }
s2s_ports = {}
component_ports = {}

-- What Jackdaw does too.
modules_enabled = {
	"disco"; "roster"; "saslauth"; "tls"; "blocklist"; "private"; "smacks"; "vcard_legacy"; "pep"; "ping"; "time";
	"version"; "lastactivity"; "register_ibr"; "posix"; "offline"; "c2s";
}
modules_disabled = { "s2s" }

c2s_require_encryption = true
ssl = { certificate = "$certificate"; key = "$key" }

authentication = "internal_hashed"
default_iteration_count = 4096
allow_registration = true

storage = "sql"
sql = {
	driver = "PostgreSQL"; database = "prosody"; username = "prosody"; password = "$password";
	host = "$database_address"; port = $database_port;
}

log = { warn = "*console" }

VirtualHost "$domain"
	password_hash = "SHA-256"

VirtualHost "$domain_sha1"
	password_hash = "SHA-1"
