# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# Certificates: NAME.pem and NAME.key in a directory.

# A self-signed P-256 certificate, where there is none. Clients show its fingerprint and ask.
make_certificate() {
    local directory=$1 domain=$2
    local certificate=$directory/$domain.pem key=$directory/$domain.key
    [ ! -s "$certificate" ] || [ ! -s "$key" ] || return 0
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -sha256 -days 3650 \
        -subj "/CN=$domain" -addext "subjectAltName=DNS:$domain" \
        -addext "keyUsage=critical,digitalSignature" -addext "extendedKeyUsage=serverAuth,clientAuth" \
        -keyout "$key.new" -out "$certificate.new" 2>/dev/null
    chmod 600 "$key.new" "$certificate.new"
    mv "$key.new" "$key"
    mv "$certificate.new" "$certificate"
}

# The way clients print it: SHA-256, upper case, with colons.
certificate_fingerprint() { openssl x509 -in "$1" -noout -fingerprint -sha256 | cut -d= -f2; }
