/** Numbers of OpenSSL 3 (libssl3); layout.test.ts compares them with its headers. */

// openssl/ssl.h, openssl/tls1.h
export const SSL_CTRL_EXTRA_CHAIN_CERT = 14;
export const SSL_OP_IGNORE_UNEXPECTED_EOF = 1 << 7;
export const SSL_CTRL_SET_SESS_CACHE_MODE = 44;
export const SSL_CTRL_SET_MIN_PROTO_VERSION = 123;
export const SSL_SESS_CACHE_OFF = 0;
export const TLS1_3_VERSION = 0x0304;
export const SSL_VERIFY_PEER = 1;
export const SSL_VERIFY_FAIL_IF_NO_PEER_CERT = 2;
export const SSL_ERROR_WANT_READ = 2;
export const SSL_ERROR_ZERO_RETURN = 6;
export const SSL_KEY_UPDATE_NOT_REQUESTED = 0;
// openssl/x509_vfy.h
export const X509_V_FLAG_CRL_CHECK = 0x4;
export const X509_V_OK = 0;
export const X509_V_ERR_UNSPECIFIED = 1;
export const X509_V_ERR_UNABLE_TO_GET_CRL = 3;

// openssl/evp.h, openssl/obj_mac.h, openssl/asn1.h
export const EVP_PKEY_EC = 408;
export const NID_X9_62_prime256v1 = 415;
export const MBSTRING_UTF8 = 0x1000;
export const NID_key_usage = 83;
export const NID_subject_alt_name = 85;
export const NID_basic_constraints = 87;
export const NID_ext_key_usage = 126;
// openssl/x509.h: version 3, and version 2 of lists
export const X509_VERSION_3 = 2;
export const X509_CRL_VERSION_2 = 1;
