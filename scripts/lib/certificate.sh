# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# Certificates: a PEM file with the chain, and one with the key.

# make_certificate CERTIFICATE KEY DOMAIN: a self-signed P-256 certificate, where there is none, for a domain as the
# DNS has it. Clients show its fingerprint and ask.
make_certificate() {
    local certificate=$1 key=$2 domain=$3 names="DNS:$3" subject="/CN=$3" words
    [ ! -e "$certificate" ] || [ ! -e "$key" ] || return 0
    if [ -e "$certificate" ] || [ -e "$key" ]; then
        refuse_half_a_pair "$certificate" "$key"
        return 78
    fi
    case $domain in \[*\]) names="IP:${domain:1:-1}" ;; esac
    # A common name has 64 characters; without it the alternative name is all there is (RFC 5280, 4.2.1.6).
    [ ${#domain} -le 64 ] || subject=/ names="critical,$names"
    mkdir -p "$(dirname "$certificate")" "$(dirname "$key")"
    # What openssl says is its progress, unless it fails.
    words=$(openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -sha256 -days 3650 \
        -subj "$subject" -addext "subjectAltName=$names" \
        -addext "keyUsage=critical,digitalSignature" -addext "extendedKeyUsage=serverAuth,clientAuth" \
        -keyout "$key.new" -out "$certificate.new" 2>&1) || {
        rm -f "$key.new" "$certificate.new"
        printf '%s\n' "cannot make a certificate for $domain:" "$words" >&2
        return 70
    }
    chmod 600 "$key.new" "$certificate.new"
    mv "$key.new" "$key"
    mv "$certificate.new" "$certificate"
}

# One of the two may be an authority's: it is not overwritten.
refuse_half_a_pair() {
    local present=$1 absent=$2
    [ -e "$present" ] || present=$2 absent=$1
    printf '%s\n' "$present is there, but $absent is not:" \
        "put it beside, or move the one away to have a self-signed pair made" >&2
}

# The way clients print it: SHA-256, upper case, with colons.
certificate_fingerprint() { openssl x509 -in "$1" -noout -fingerprint -sha256 | cut -d= -f2; }
