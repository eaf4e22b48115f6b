-- SPDX-License-Identifier: Apache-2.0
-- Prosody 0.12 under scripts/interop-federation: as its documentation describes federation, with a log that tells all.

network_backend = "epoll"
pidfile = "$directory/prosody.pid"
data_path = "$directory/data"
certificates = "$directory/certs"
daemonize = false
run_as_root = false

interfaces = { "$address" }
c2s_ports = { $port }
s2s_ports = { 5269 }
s2s_direct_tls_ports = { 5270 }
component_ports = {}
http_ports = {}
https_ports = {}
ssl = { certificate = "$certificate"; key = "$key"; cafile = "$trusted" }
-- The certificate for direct TLS is the one that is found for the name that is asked for.
s2s_direct_tls_ssl = { cafile = "$trusted" }

modules_enabled = {
	"disco"; "roster"; "saslauth"; "tls"; "dialback"; "blocklist"; "private"; "smacks"; "vcard_legacy"; "pep"; "ping";
	"time"; "version"; "lastactivity"; "register_ibr"; "posix"; "offline"; "c2s"; "s2s";
}

s2s_require_encryption = true
-- A certificate that does not prove the name leaves dialback.
s2s_secure_auth = false
use_dane = true
-- Only the stage's own island of trust.
unbound = { resolvconf = true; hoststxt = false; trustfile = "$anchor" }

authentication = "internal_hashed"
allow_registration = true
registration_throttle_max = nil

log = { debug = "*console" }

$hosts
