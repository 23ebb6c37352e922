/*
 * libldap for Swift: the headers, and the few constants that are macros with casts, which Swift does not import.
 */
#ifndef RUNTIME_SYNC_CLDAP_H
#define RUNTIME_SYNC_CLDAP_H

#include <ldap.h>
#include <openldap.h>

static const ber_int_t RTS_LDAP_SCOPE_BASE = LDAP_SCOPE_BASE;
static const ber_int_t RTS_LDAP_SCOPE_SUBTREE = LDAP_SCOPE_SUBTREE;
static const ber_tag_t RTS_LDAP_SEARCH_ENTRY = LDAP_RES_SEARCH_ENTRY;
static const ber_tag_t RTS_LDAP_SEARCH_REFERENCE = LDAP_RES_SEARCH_REFERENCE;
static const int RTS_LDAP_TLS_1_2 = LDAP_OPT_X_TLS_PROTOCOL_TLS1_2;

static inline Sockbuf_IO *rts_readahead(void) { return &ber_sockbuf_io_readahead; }

#endif
