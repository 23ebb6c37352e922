/*
 * The smallest plugin: it writes a line to the daemon's log for each notification and delivers nothing anywhere. Copy
 * it, change the name, and put your target where the comments say so. The contract is in runtime_sync.h.
 *
 *   cc -shared -fPIC -I Sources/CRuntimeSync/include -o libTemplate.so template.c
 *
 * It is C11 and C++17 alike; in C++ name it template.cc.
 */
#include <stdio.h>
#include <string.h>

#include "runtime_sync.h"

/* What the daemon reads without running any of this: who we are, what we take, and the settings that we accept. */
RTS_MANIFEST({
    "name": "Template", "version": "1.0.0", "abi": "1.0",
    "capabilities": ["notification", "check"],
    "settings": {
        "type": "object", "additionalProperties": false,
        "properties": {
            "greeting": {"type": "string", "default": "It happened", "description": "How each line begins."}
        }
    }
})

static const rts_host *host;
static char greeting[64];

static rts_bytes words(const char *text) {
    rts_bytes bytes;
    bytes.data = (const uint8_t *)text;
    bytes.size = strlen(text);
    return bytes;
}

static void answer(uint64_t id, rts_outcome outcome, const char *detail) {
    rts_completion completion;
    memset(&completion, 0, sizeof completion);
    completion.size = sizeof completion;
    completion.outcome = outcome;
    completion.detail = words(detail);
    (void)host->complete(host->context, id, &completion);
}

/* Settings come as JSON that the manifest has been applied to. A real plugin parses them with a library; this one takes
 * the text between the quotes behind its only key. Threads and connections are started here; the target may be down. */
static const char *start(const rts_start *request, void **state) {
    static const char key[] = "\"greeting\":\"";
    const char *json = (const char *)request->settings.data, *end = json + request->settings.size;
    *state = NULL;
    for (; json + sizeof key - 1 < end; json++) {
        if (memcmp(json, key, sizeof key - 1) != 0) continue;
        json += sizeof key - 1;
        const char *quote = (const char *)memchr(json, '"', (size_t)(end - json));
        if (!quote || (size_t)(quote - json) >= sizeof greeting) return "greeting: at most 63 bytes are accepted";
        memcpy(greeting, json, (size_t)(quote - json));
        return NULL;
    }
    return "greeting: missing";
}

/* Must not wait. A real plugin hands the request to its connection, returns, and calls complete when the target has
 * answered, from any thread. What is borrowed here is gone by then: copy what you need, and wipe copies of a secret. */
static void deliver(void *state, const rts_delivery *delivery) {
    (void)state;
    char line[256];
    snprintf(line, sizeof line, "%s: %.*s", greeting, (int)delivery->kind.size, (const char *)delivery->kind.data);
    host->log(host->context, RTS_LOG_INFO, words(line));
    answer(delivery->id, RTS_DELIVERED, "");
}

/* `runtime-sync check` asks this: connect, authenticate, look, change nothing. */
static void check(void *state, uint64_t id) {
    (void)state;
    answer(id, RTS_DELIVERED, "there is no target that could be down");
}

static void stop(void *state) {
    (void)state;
}

#ifdef __cplusplus
extern "C"
#endif
RTS_EXPORT const rts_plugin *runtime_sync_plugin(const rts_host *from);

const rts_plugin *runtime_sync_plugin(const rts_host *from) {
    static rts_plugin table;
    table.size = sizeof table;
    table.abi_major = RTS_ABI_MAJOR;
    table.abi_minor = RTS_ABI_MINOR;
    table.start = start;
    table.deliver = deliver;
    table.check = check;
    table.stop = stop;
    host = from;
    return &table;
}
