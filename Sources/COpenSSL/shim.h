// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

// Macros of OpenSSL that Swift cannot see, one function each.

static inline void COpenSSL_BIO_set_retry_read(BIO *bio) { BIO_set_retry_read(bio); }
static inline void COpenSSL_BIO_clear_retry_flags(BIO *bio) { BIO_clear_retry_flags(bio); }

static inline long COpenSSL_SSL_CTX_set_min_proto_version(SSL_CTX *context, int version) {
    return SSL_CTX_set_min_proto_version(context, version);
}
static inline long COpenSSL_SSL_CTX_set_max_proto_version(SSL_CTX *context, int version) {
    return SSL_CTX_set_max_proto_version(context, version);
}
static inline long COpenSSL_SSL_CTX_set_mode(SSL_CTX *context, long mode) { return SSL_CTX_set_mode(context, mode); }
static inline long COpenSSL_SSL_CTX_set_session_cache_off(SSL_CTX *context) {
    return SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
}
static inline long COpenSSL_SSL_CTX_set_server_name_callback(
    SSL_CTX *context, int (*callback)(SSL *, int *, void *), void *argument) {
    SSL_CTX_set_tlsext_servername_callback(context, callback);
    return SSL_CTX_set_tlsext_servername_arg(context, argument);
}
static inline long COpenSSL_SSL_set_tlsext_host_name(SSL *ssl, const char *name) {
    return SSL_set_tlsext_host_name(ssl, name);
}
static inline void COpenSSL_SSL_set_msg_callback_arg(SSL *ssl, void *argument) {
    SSL_set_msg_callback_arg(ssl, argument);
}
static inline long COpenSSL_SSL_get_extms_support(SSL *ssl) { return SSL_get_extms_support(ssl); }

static inline int COpenSSL_GENERAL_NAMES_count(GENERAL_NAMES *names) { return sk_GENERAL_NAME_num(names); }
static inline GENERAL_NAME *COpenSSL_GENERAL_NAMES_at(GENERAL_NAMES *names, int index) {
    return sk_GENERAL_NAME_value(names, index);
}
// The text of a dNSName, or null: the buffer belongs to the name.
static inline const unsigned char *COpenSSL_GENERAL_NAME_dns(GENERAL_NAME *name, int *length) {
    if (name->type != GEN_DNS) return NULL;
    *length = ASN1_STRING_length(name->d.dNSName);
    return ASN1_STRING_get0_data(name->d.dNSName);
}
// The text of an otherName id-on-xmppAddr (RFC 6120 section 13.7.1.4), or null.
static inline const unsigned char *COpenSSL_GENERAL_NAME_xmpp(GENERAL_NAME *name, int *length) {
    if (name->type != GEN_OTHERNAME || OBJ_obj2nid(name->d.otherName->type_id) != NID_XmppAddr) return NULL;
    ASN1_TYPE *value = name->d.otherName->value;
    if (value->type != V_ASN1_UTF8STRING) return NULL;
    *length = ASN1_STRING_length(value->value.utf8string);
    return ASN1_STRING_get0_data(value->value.utf8string);
}
// The text of an otherName id-on-dnsSRV (RFC 4985), or null.
static inline const unsigned char *COpenSSL_GENERAL_NAME_srv(GENERAL_NAME *name, int *length) {
    if (name->type != GEN_OTHERNAME || OBJ_obj2nid(name->d.otherName->type_id) != NID_SRVName) return NULL;
    ASN1_TYPE *value = name->d.otherName->value;
    if (value->type != V_ASN1_IA5STRING) return NULL;
    *length = ASN1_STRING_length(value->value.ia5string);
    return ASN1_STRING_get0_data(value->value.ia5string);
}
static inline int COpenSSL_certificates_count(STACK_OF(X509) *chain) { return sk_X509_num(chain); }
static inline X509 *COpenSSL_certificates_at(STACK_OF(X509) *chain, int index) { return sk_X509_value(chain, index); }
static inline unsigned int COpenSSL_host_flags(void) {
    return X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT;
}
static inline const EVP_MD *COpenSSL_digest_by_nid(int nid) { return EVP_get_digestbyname(OBJ_nid2sn(nid)); }
static inline uint64_t COpenSSL_no_tickets(void) { return SSL_OP_NO_TICKET; }
// RFC 9325: no renegotiation, no compression.
static inline uint64_t COpenSSL_secure_options(void) {
    return SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE
        | SSL_OP_PRIORITIZE_CHACHA;
}
