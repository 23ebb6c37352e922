/*
 * runtime_sync.h: the contract between Runtime Sync and a plugin. C11 and C++17, no dependency.
 *
 * A plugin is a shared library that exports one function, runtime_sync_plugin(), and carries its manifest in an ELF
 * note (RTS_MANIFEST). It runs alone in a sandboxed process of its own: it opens no file, starts no process, listens
 * nowhere, and connects only to the host:port pairs that its settings name. When it crashes, only its own process ends.
 *
 * Rules that hold for every call:
 *  - Bytes are borrowed. An rts_bytes is valid until the call that got it returns; copy what you keep. Text is UTF-8
 *    and not NUL-terminated. An absent value has data == NULL; an empty one has data != NULL and size == 0.
 *  - Nothing is freed across the boundary.
 *  - Structs begin with their size, as the writer knew them. Read a field only if the size covers it (RTS_HAS). Fields
 *    are only ever appended; what is reserved is zero.
 *  - [reader thread] calls come one at a time from a single thread and must return within milliseconds: start what
 *    they ask for and come back. [any thread] calls may be made at any time, from any thread, even from inside a
 *    [reader thread] call.
 *  - SIGPIPE is ignored. The address space is never unloaded: the process ends instead.
 */
#ifndef RUNTIME_SYNC_H
#define RUNTIME_SYNC_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The major number must match exactly; a higher minor of the host only means more fields at the end of structs. */
#define RTS_ABI_MAJOR 1
#define RTS_ABI_MINOR 0

#define RTS_EXPORT __attribute__((visibility("default"), used))

/* Whether a struct, as its writer knew it, has a field. */
#define RTS_HAS(pointer, type, field) \
    ((pointer)->size >= offsetof(type, field) + sizeof((pointer)->field))

/* Borrowed bytes: see the rules above. */
typedef struct rts_bytes {
    const uint8_t *data;
    size_t size;
} rts_bytes;

/* What a delivery carries. */
typedef enum rts_class {
    RTS_CREDENTIAL = 0,   /* a new password, in rts_delivery.secret */
    RTS_PROFILE = 1,      /* attribute state, in rts_delivery.attributes */
    RTS_LIFECYCLE = 2,    /* created, renamed, disabled, deleted: see rts_delivery.kind */
    RTS_NOTIFICATION = 3  /* something happened; nothing has to be written */
} rts_class;

/* How a request ended. One of these, exactly once per request. */
typedef enum rts_outcome {
    RTS_DELIVERED = 0,     /* done; for a read: the record was found */
    RTS_RETRY = 1,         /* transient: the target is down, slow, busy; retry_after_ms is honoured */
    RTS_REFUSED = 2,       /* this change for this account can never succeed; detail has the target's words */
    RTS_MISCONFIGURED = 3, /* nothing can succeed until the settings change: bind, TLS, token, base */
    RTS_ABSENT = 4,        /* the target has no such account (yet) */
    RTS_UNKNOWN = 5        /* the request was sent and no answer came: it may or may not have been carried out */
} rts_outcome;

typedef enum rts_log_level {
    RTS_LOG_DEBUG = 0,
    RTS_LOG_INFO = 1,
    RTS_LOG_WARNING = 2,
    RTS_LOG_ERROR = 3
} rts_log_level;

/* rts_delivery.flags */
#define RTS_FLAG_TEMPORARY 1u /* the password must be changed at the next login */
#define RTS_FLAG_FIRST 2u     /* nothing has been delivered to this account before */

/*
 * One request. Which fields are set depends on the call (see rts_plugin).
 */
typedef struct rts_delivery {
    size_t size;
    uint64_t id;              /* names this request until it is completed; unique in this process */
    uint32_t delivery_class;  /* rts_class */
    uint32_t attempt;         /* 1 for the first */
    uint32_t deadline_ms;     /* from now; afterwards the host calls cancel */
    uint32_t flags;           /* RTS_FLAG_ */
    rts_bytes kind;           /* "password.updated", "login.failed", ... */
    rts_bytes idempotency_key; /* the same for every attempt of one delivery */
    rts_bytes external_id;    /* what the subject's external-id attribute says; absent if it has none */
    rts_bytes account;        /* the account this subject is bound to, as reported by you in rts_completion.account;
                                 absent while there is no binding. Refuse if what you find is another account. */
    rts_bytes event;          /* JSON object: the event, without the credential's value */
    rts_bytes attributes;     /* JSON object, target attribute -> array of strings: the state to write. An empty array
                                 means "has no value"; an attribute that is not there is unknown: leave it alone */
    rts_bytes secret;         /* the password, UTF-8, never empty for RTS_CREDENTIAL. Wipe every copy you make. */
} rts_delivery;

/* The answer to a request. Initialise with {0}, set size = sizeof(rts_completion), then what you know. */
typedef struct rts_completion {
    size_t size;
    uint32_t outcome;        /* rts_outcome */
    uint32_t retry_after_ms; /* for RTS_RETRY: not before, but in a day at the latest; 0 = the host decides */
    rts_bytes detail;        /* the target's own words, for people; never a secret; at most 1 KiB is kept */
    rts_bytes account;       /* the account's stable id at the target (entryUUID, objectGUID, ...), if it has one */
    rts_bytes record;        /* for read_record: JSON object like rts_delivery.attributes */
} rts_completion;

/* A file that the settings name: `key` is the settings key (`ca_file`, `bind_password`), `fd` is open for reading from
 * offset 0 and yours until stop; read it with pread. Secrets of the settings come in this way too. */
typedef struct rts_file {
    size_t size;
    rts_bytes key;
    int32_t fd;
    uint32_t flags; /* reserved */
} rts_file;

/* What start gets. */
typedef struct rts_start {
    size_t size;
    rts_bytes provider;   /* the provider's name */
    rts_bytes settings;   /* JSON object: the provider's `settings`, checked against the manifest's schema, defaults
                             filled in, without the keys of format `file` and `secret` */
    const rts_file *files; /* borrowed for the call; the descriptors stay open */
    size_t file_count;
    uint32_t window;      /* at most so many requests are outstanding at once */
} rts_start;

/* What the plugin may call. The struct and everything in it live as long as the process. All are [any thread]. */
typedef struct rts_host {
    size_t size;
    uint32_t abi_major;
    uint32_t abi_minor;
    void *context; /* pass it as the first argument */

    /* Ends request `id`. Returns 0; or -1 if there is no such request (ended, cancelled and given up, or never made). 0
     * means taken, not told: it leaves within a few milliseconds, and is lost if this process dies before. The request
     * then counts as one without an answer. */
    int32_t (*complete)(void *context, uint64_t id, const rts_completion *completion);

    /* One line for the daemon's log, with the provider's name added there. At most 4 KiB; above the rate limit lines
     * are dropped and counted. Never a secret. */
    void (*log)(void *context, uint32_t level, rts_bytes message);

    /* Adds to a counter that the daemon publishes for this provider. name: [a-z0-9_]+, at most 64 bytes; at most 64
     * names. Above 1000 calls a second, what was added is told later: with the first call of this or of complete in
     * another second, or at the next ping (every ten seconds in a quiet worker) or the stop. */
    void (*metric)(void *context, rts_bytes name, int64_t delta);

    /* Milliseconds of a clock that never goes back. */
    uint64_t (*now)(void *context);

    /* A table of further calls by id ("name/REV"), or NULL if this host has none of that name. */
    const void *(*extension)(void *context, const char *id);
} rts_host;

/*
 * The host's extension "batch/1", for a thread that completes many requests in a row: what it says after begin may wait
 * for its end, and then crosses to the daemon at once; if the process dies in between, all of it is lost. Other threads
 * are not concerned. One begin, one end, on the same thread, and no waiting in between: what was said is not known before.
 */
#define RTS_BATCH "batch/1"

typedef struct rts_batch {
    size_t size;
    void (*begin)(void *context); /* [any thread]; context: the host's */
    void (*end)(void *context);   /* [any thread]; the one that called begin */
} rts_batch;

/* What the plugin offers. A NULL function means "not offered"; start, deliver and stop are required. */
typedef struct rts_plugin {
    size_t size;
    uint32_t abi_major; /* RTS_ABI_MAJOR */
    uint32_t abi_minor; /* RTS_ABI_MINOR */

    /* [reader thread] Once, first. Reads the settings and files, starts threads; does not wait for the target. Returns
     * NULL and sets *state, passed to every later call; or a static, NUL-terminated text that says what is wrong. */
    const char *(*start)(const rts_start *start, void **state);

    /* [reader thread] Write this to the target; complete it later (or now). */
    void (*deliver)(void *state, const rts_delivery *delivery);

    /* [reader thread] The time for `id` is over. Stop if you can without leaving it ambiguous, and complete it all the
     * same. If you do not within 5 seconds the host ends this process and counts the outcome as unknown: a newer change
     * of the same user must not be sent while this one may still be under way. */
    void (*cancel)(void *state, uint64_t id);

    /* [reader thread] Can deliveries succeed? Connects, authenticates, looks at the base; changes nothing. */
    void (*check)(void *state, uint64_t id);

    /* [reader thread] Is `secret` the account's password? DELIVERED = yes, REFUSED = no. */
    void (*verify_password)(void *state, const rts_delivery *delivery);

    /* [reader thread] Find the account and answer its stable id in `account` and, for the attributes named as keys of
     * `attributes`, what it holds in `record`. ABSENT if there is none. Changes nothing. */
    void (*read_record)(void *state, const rts_delivery *delivery);

    /* [reader thread] Once, last; nothing is called afterwards. Let go of the target and return. */
    void (*stop)(void *state);

    /* A table of further functions by id ("name/REV"), or NULL. */
    const void *(*extension)(const char *id);
} rts_plugin;

/* The one exported function. [reader thread] `host` stays valid; return a table that does too, or NULL to refuse. */
typedef const rts_plugin *(*rts_plugin_entry)(const rts_host *host);
#define RTS_ENTRY_NAME "runtime_sync_plugin"

/*
 * The manifest: a JSON object in the note section, read without loading the library. Written as plain JSON:
 *
 *   RTS_MANIFEST({
 *     "name": "LDAPPassword", "version": "1.0.0", "abi": "1.0",
 *     "capabilities": ["credential", "profile", "check", "verify_password", "read_record"],
 *     "settings": { ... JSON Schema, 2020-12 ... }
 *   })
 *
 * `capabilities`: any of credential, profile, lifecycle, notification (which classes deliver takes; others are never
 * sent), check, verify_password, read_record, temporary_password (the target demands a change at the next login where
 * RTS_FLAG_TEMPORARY is set; without it temporary passwords are never sent).
 * `in_flight`, optional: how many deliveries the plugin is best given at once, 1 to 4096: somewhat more than it sends at
 * once, for the others wait in it while their deadline runs. The default of the provider's `in_flight`, which the
 * operator may set; rts_start.window says what came of it, and some more.
 * `settings`: JSON Schema of the provider's `settings`. Formats with a meaning here: `uri` (the host and port may be
 * connected to), `file` (an input file; reaches the plugin as a descriptor), `secret` (a secret from a file or an
 * environment variable of the daemon; reaches the plugin as a descriptor).
 *
 * Layout of the note (ELF, generic ABI): namesz = 12, descsz, type = 1, "RuntimeSync\0", the JSON without a NUL.
 */
#define RTS_NOTE_NAME "RuntimeSync"
#define RTS_NOTE_TYPE 1
#define RTS_NOTE_SECTION ".note.runtimesync"

#define RTS_MANIFEST(...) RTS_MANIFEST_TEXT(#__VA_ARGS__)
#define RTS_MANIFEST_TEXT(text)                                                              \
    _Pragma("GCC diagnostic push") _Pragma("GCC diagnostic ignored \"-Woverlength-strings\"") \
    __attribute__((section(RTS_NOTE_SECTION), used, retain, aligned(4))) static const struct { \
        uint32_t namesz, descsz, type;                                                       \
        char name[12];                                                                       \
        char json[sizeof(text)];                                                             \
    } rts_manifest_note = {12, sizeof(text) - 1, RTS_NOTE_TYPE, RTS_NOTE_NAME, text};        \
    _Pragma("GCC diagnostic pop")

#ifdef __cplusplus
}
#endif

#endif
