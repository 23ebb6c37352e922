/* What the daemon reads of this plugin without loading it. The version is the header's; a test compares them. */
#include "runtime_sync.h"
#include "workforce_manifest.h"

RTS_MANIFEST({
    "name": "WorkforceHTTP",
    "version": "1.0.0",
    "abi": "1.0",
    "description": "Sends each change as one HTTP request to a workforce (HR) system.",
    "capabilities": ["credential", "profile", "lifecycle", "notification", "check", "temporary_password"],
    "in_flight": 16,
    "settings": {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "additionalProperties": false,
        "required": ["base_url"],
        "dependentRequired": {
            "basic_user": ["basic_password"],
            "basic_password": ["basic_user"],
            "client_certificate": ["client_key"],
            "client_key": ["client_certificate"]
        },
        "not": {"required": ["bearer_token", "basic_user"]},
        "properties": {
            "base_url": {
                "type": "string", "format": "uri",
                "description": "Where the target is: https://HOST[:PORT][/PATH]. http is accepted for 127.0.0.0/8 and [::1]; for other hosts see allow_cleartext. The paths of the requests are appended."
            },
            "allow_cleartext": {
                "type": "boolean", "default": false,
                "description": "Allow http to any host, without passwords; and passwords over http to 127.0.0.0/8 and [::1]. A password never leaves this machine over http."
            },
            "requests": {
                "type": "object",
                "description": "How each kind of event is sent, kind by kind; a kind that is not named here uses its built-in request, or else the one named default; null: not sent, the delivery is refused. Placeholders: {{externalId}}, {{account}}, {{username}}, {{kind}}, {{attempt}}, {{idempotencyKey}}, {{temporary}}, {{event}} and {{event.PATH}}, {{attributes}} and {{attributes.PATH}}, and in a body {{secret}}. A ? before the braces close allows the value to be absent. In a body a string that is only a placeholder becomes the value with its type; in a path values are percent-encoded.",
                "properties": {
                    "password.updated": {"$ref": "#/$defs/request", "default": {
                        "method": "PUT", "path": "/users/{{externalId}}/password",
                        "body": {"password": "{{secret}}", "temporary": "{{temporary}}"}}},
                    "profile.updated": {"$ref": "#/$defs/request", "default": {
                        "method": "PATCH", "path": "/users/{{externalId}}", "body": {"attributes": "{{attributes}}"}}},
                    "user.created": {"$ref": "#/$defs/request", "default": {
                        "method": "PUT", "path": "/users/{{externalId}}",
                        "body": {"username": "{{username}}", "enabled": true, "attributes": "{{attributes?}}"}}},
                    "user.renamed": {"$ref": "#/$defs/request", "default": {
                        "method": "PATCH", "path": "/users/{{externalId}}", "body": {"username": "{{username}}"}}},
                    "user.disabled": {"$ref": "#/$defs/request", "default": {
                        "method": "PATCH", "path": "/users/{{externalId}}", "body": {"enabled": false}}},
                    "user.deleted": {"$ref": "#/$defs/request", "default": {
                        "method": "DELETE", "path": "/users/{{externalId}}", "body": null}},
                    "login.succeeded": {"$ref": "#/$defs/request", "default": {
                        "method": "POST", "path": "/events", "body": "{{event}}"}},
                    "login.failed": {"$ref": "#/$defs/request", "default": {
                        "method": "POST", "path": "/events", "body": "{{event}}"}},
                    "logout": {"$ref": "#/$defs/request", "default": {
                        "method": "POST", "path": "/events", "body": "{{event}}"}},
                    "event": {"$ref": "#/$defs/request", "default": {
                        "method": "POST", "path": "/events", "body": "{{event}}"}},
                    "default": {"$ref": "#/$defs/request", "default": {
                        "method": "POST", "path": "/events", "body": "{{event}}"}}
                },
                "additionalProperties": {"$ref": "#/$defs/request"}
            },
            "headers": {
                "type": "object", "additionalProperties": {"type": "string"}, "default": {},
                "description": "Header fields of every request, name to value; placeholders as in paths, but not encoded. Content-Type is application/json unless named here. Set by the plugin and not accepted: Authorization, Idempotency-Key, User-Agent, Host, Content-Length and the other fields of the connection."
            },
            "bearer_token": {
                "type": "string", "format": "secret",
                "description": "Token of the Authorization header (RFC 6750). Not together with basic_user. Default: no authentication."
            },
            "basic_user": {
                "type": "string", "minLength": 1, "pattern": "^[^:]*$",
                "description": "User name of HTTP Basic authentication (RFC 7617); together with basic_password. Default: none."
            },
            "basic_password": {
                "type": "string", "format": "secret",
                "description": "Password of HTTP Basic authentication. Default: none."
            },
            "ca_file": {
                "type": "string", "format": "file",
                "description": "Certificates in PEM, at most 4 MiB: the only authorities whose word for the target is taken. Default: the system's. Verification cannot be switched off."
            },
            "client_certificate": {
                "type": "string", "format": "file",
                "description": "Certificate in PEM, followed by its chain, that the plugin shows to the target; together with client_key. Default: none."
            },
            "client_key": {
                "type": "string", "format": "secret",
                "description": "Private key in PEM, not encrypted, at most 64 KiB, of client_certificate. Default: none."
            },
            "connect_timeout_ms": {
                "type": "integer", "default": 5000, "minimum": 100, "maximum": 60000,
                "description": "Milliseconds for looking up the name, connecting and the TLS handshake."
            },
            "timeout_ms": {
                "type": "integer", "default": 15000, "minimum": 100, "maximum": 300000,
                "description": "Milliseconds for a whole request and for a check, connecting included; the deadline of the delivery ends it earlier."
            },
            "max_connections": {
                "type": "integer", "default": 8, "minimum": 1, "maximum": 64,
                "description": "Requests at the target at once, and connections kept to it; over HTTP/2 they share fewer."
            },
            "success_statuses": {
                "type": "array", "items": {"type": "integer", "minimum": 200, "maximum": 499},
                "description": "Statuses that mean done; every other 2xx is then a refusal. Default: every 2xx."
            },
            "absent_statuses": {
                "type": "array", "items": {"type": "integer", "minimum": 400, "maximum": 499}, "default": [404, 410],
                "description": "Statuses that mean that the target has no such account, when a password, profile or account was sent."
            },
            "account_field": {
                "type": "string", "minLength": 1,
                "description": "Where the JSON answer to a password, profile or account holds the account's stable id: keys and indexes with dots, such as user.id. Default: the answer holds none."
            },
            "check_path": {
                "type": "string", "default": "",
                "description": "Path below base_url that a check asks for with GET: any answer but a redirect, 401, 403, 5xx or a rate limit will do. Default: base_url itself."
            }
        },
        "$defs": {
            "request": {
                "type": ["object", "null"],
                "additionalProperties": false,
                "required": ["method", "path"],
                "properties": {
                    "method": {"enum": ["POST", "PUT", "PATCH", "DELETE"], "description": "The request's method."},
                    "path": {"type": "string", "description": "Path, and perhaps query, below base_url; it begins with a slash."},
                    "headers": {"type": "object", "additionalProperties": {"type": "string"}, "default": {}, "description": "More header fields, over those of all requests."},
                    "body": {"default": null, "description": "JSON with placeholders in its strings; null: no body."},
                    "announce_only": {"type": "boolean", "default": false, "description": "For password.updated only: the request tells of the change and carries no password. Without it a body without {{secret}} is refused there."}
                }
            }
        }
    }
})
