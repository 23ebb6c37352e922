/*
 * What the daemon reads about this plugin without loading it: what it can do, and the settings it takes.
 * The defaults here and those of LDAPSettings.swift are the same; a test compares them.
 */
#include "runtime_sync.h"

#include "ldap_password_manifest.h"

RTS_MANIFEST({
  "name": "LDAPPassword",
  "version": "1.0.0",
  "abi": "1.0",
  "description": "Writes passwords and profile attributes to an LDAP directory.",
  "capabilities": ["credential", "profile", "check", "verify_password", "read_record"],
  "unmappable": [
    "userPassword", "2.5.4.35", "unicodePwd", "authPassword", "sambaNTPassword", "sambaLMPassword", "krbPrincipalKey"
  ],
  "settings": {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "additionalProperties": false,
    "required": ["url", "bind_dn", "bind_password", "base"],
    "oneOf": [{"required": ["account_dn"]}, {"required": ["account_filter"]}],
    "properties": {
      "url": {
        "type": "string", "format": "uri", "pattern": "^[Ll][Dd][Aa][Pp][Ss]?://",
        "description": "The directory server: ldap://host[:port] (port 389 if absent) or ldaps://host[:port] (636)."
      },
      "start_tls": {
        "type": "boolean", "default": true,
        "description": "Secure an ldap:// connection with StartTLS before anything is sent. No meaning for ldaps://."
      },
      "ca_file": {
        "type": "string", "format": "file",
        "description": "PEM file with the certificates of the authorities that may vouch for the server. Needed for TLS: the plugin sees no other trust store."
      },
      "tls_server_name": {
        "type": "string", "minLength": 1,
        "description": "The name that the server's certificate must carry. Absent: the host of url."
      },
      "allow_cleartext": {
        "type": "boolean", "default": false,
        "description": "Permit passwords over an unencrypted connection. Accepted only if the host of url is localhost, 127.0.0.1 or [::1]."
      },
      "bind_dn": {
        "type": "string", "minLength": 1,
        "description": "The service account that the plugin works as. Not the directory's root account: that one bypasses every password policy."
      },
      "bind_password": {
        "type": "string", "format": "secret",
        "description": "The service account's password."
      },
      "base": {
        "type": "string", "minLength": 1,
        "description": "DN of the subtree that holds the accounts. Nothing outside it, nor its top entry, is ever written."
      },
      "account_dn": {
        "type": "string", "minLength": 1,
        "description": "Template of an account's DN, such as uid={{externalId}},ou=people,dc=example,dc=org. Variables: externalId, username, userId, email; each is escaped. Either this or account_filter."
      },
      "account_filter": {
        "type": "string", "minLength": 1,
        "description": "Template of the filter that finds an account below base, such as (&(objectClass=inetOrgPerson)(employeeNumber={{externalId}})). Variables as in account_dn. Either this or account_dn."
      },
      "protect": {
        "type": "string", "minLength": 1,
        "description": "LDAP filter. An entry that matches it, or of which the server cannot say, is refused. Absent: no entry is protected."
      },
      "stable_id": {
        "type": "string", "minLength": 1,
        "description": "Attribute that names an entry for ever. Absent: the first of entryUUID, nsUniqueId, objectGUID that the entry has."
      },
      "password_method": {
        "enum": ["auto", "modify", "extended"], "default": "auto",
        "description": "How a password is written: modify replaces userPassword; extended is the Password Modify operation (RFC 3062); auto takes extended if the server lists it, else modify. With modify a password that begins with {TEXT} is refused: the server would take it for a hash."
      },
      "connect_timeout_ms": {
        "type": "integer", "minimum": 100, "maximum": 60000, "default": 5000,
        "description": "Milliseconds until a connection must be made, secured and authenticated."
      },
      "operation_timeout_ms": {
        "type": "integer", "minimum": 100, "maximum": 120000, "default": 10000,
        "description": "Milliseconds until the server must have answered one operation."
      },
      "in_flight": {
        "type": "integer", "minimum": 1, "maximum": 256, "default": 64,
        "description": "Requests that are outstanding at the server at once, all on one connection."
      }
    }
  }
})
