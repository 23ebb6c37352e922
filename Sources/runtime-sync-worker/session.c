#define _GNU_SOURCE
#include "session.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "frames.h"
#include "host.h"
#include "requests.h"

#define WINDOW_MAX 65536u

static const rts_plugin *plugin;
static void *state;
static uint32_t files_at_hand;
static int has_worked; /* since memory was last given back */
static enum { LOADED, STARTED, REFUSED } stage = LOADED;

/* -- Reading a payload ------------------------------------------------------------------------------------------ */

/* Where the reading is; once something is missing, everything after it is empty and `is_short` says so. */
typedef struct cursor {
    const uint8_t *at;
    size_t left;
    int is_short;
} cursor;

static const uint8_t *take(cursor *cursor, size_t size) {
    if (cursor->is_short || cursor->left < size) {
        cursor->is_short = 1;
        return NULL;
    }
    const uint8_t *taken = cursor->at;
    cursor->at += size;
    cursor->left -= size;
    return taken;
}

static uint32_t take_number(cursor *cursor) {
    uint32_t number = 0;
    const uint8_t *taken = take(cursor, sizeof number);
    if (taken) memcpy(&number, taken, sizeof number);
    return number;
}

static rts_bytes take_bytes(cursor *cursor) {
    uint32_t size = take_number(cursor);
    if (cursor->is_short || size == RTW_ABSENT) return (rts_bytes){NULL, 0};
    const uint8_t *taken = take(cursor, size);
    return (rts_bytes){taken, taken ? size : 0};
}

static void require(int holds, const char *otherwise) {
    if (!holds) frames_fail(RTW_STAGE_PROTOCOL, otherwise);
}

static void require_end(const cursor *cursor) {
    require(!cursor->is_short && cursor->left == 0, "a payload is shorter or longer than its fields");
}

/* -- START ------------------------------------------------------------------------------------------------------ */

static void answer_start(const char *refusal) {
    stage = refusal ? REFUSED : STARTED;
    uint32_t is_ok = refusal == NULL;
    rts_bytes why = {(const uint8_t *)refusal, refusal ? strlen(refusal) : 0};
    frames_send(RTW_STARTED, 0, &(frame_content){&is_ok, 1, &why, 1});
}

static void start(cursor payload) {
    require(stage == LOADED, "START came twice");
    uint32_t window = take_number(&payload);
    uint32_t log_lines = take_number(&payload);
    rts_start request = {.size = sizeof request, .window = window};
    request.provider = take_bytes(&payload);
    request.settings = take_bytes(&payload);
    request.file_count = take_number(&payload);
    require(window >= 1 && window <= WINDOW_MAX, "START's window is not within 1 to 65536");
    require(request.file_count == files_at_hand, "START names another number of files than the lockdown record");

    rts_file *files = calloc(files_at_hand + 1u, sizeof *files);
    if (!files || requests_prepare(window) != 0) abort();
    for (uint32_t index = 0; index < files_at_hand; index++) {
        files[index].size = sizeof *files;
        files[index].key = take_bytes(&payload);
        files[index].fd = RTW_FD_FIRST_FILE + (int32_t)index;
    }
    require_end(&payload);
    request.files = files;
    host_limit_log(log_lines);
    answer_start(plugin->start(&request, &state));
    free(files);
}

/* -- Requests --------------------------------------------------------------------------------------------------- */

static void begin(uint64_t id) {
    require(stage == STARTED, "a request came without a started plugin");
    has_worked = 1;
    require(requests_begin(id) == 0, "a request's id is 0 or still in use, or there are more than START's window");
}

static void complete_not_offered(uint64_t id, const char *detail) {
    rts_completion answer = {.size = sizeof answer, .outcome = RTS_REFUSED};
    answer.detail = (rts_bytes){(const uint8_t *)detail, strlen(detail)};
    (void)host.complete(host.context, id, &answer);
}

static rts_delivery take_delivery(uint64_t id, cursor payload) {
    rts_delivery delivery = {.size = sizeof delivery, .id = id};
    delivery.delivery_class = take_number(&payload);
    delivery.attempt = take_number(&payload);
    delivery.deadline_ms = take_number(&payload);
    delivery.flags = take_number(&payload);
    delivery.kind = take_bytes(&payload);
    delivery.idempotency_key = take_bytes(&payload);
    delivery.external_id = take_bytes(&payload);
    delivery.account = take_bytes(&payload);
    delivery.event = take_bytes(&payload);
    delivery.attributes = take_bytes(&payload);
    delivery.secret = take_bytes(&payload);
    require_end(&payload);
    require(delivery.delivery_class <= RTS_NOTIFICATION, "a request's class is not one");
    return delivery;
}

static void request(
    const rts_delivery *delivery, void (*function)(void *, const rts_delivery *), const char *not_offered) {
    begin(delivery->id);
    if (function) {
        function(state, delivery);
    } else {
        complete_not_offered(delivery->id, not_offered);
    }
}

static void deliver(uint64_t id, cursor payload) {
    rts_delivery delivery = take_delivery(id, payload);
    /* To some targets an empty password means that none is needed. */
    require(delivery.delivery_class != RTS_CREDENTIAL || delivery.secret.size > 0, "a credential came without a secret");
    request(&delivery, plugin->deliver, "");
}

static void verify(uint64_t id, cursor payload) {
    rts_delivery delivery = take_delivery(id, payload);
    request(&delivery, plugin->verify_password, "the plugin does not offer verify_password");
}

static void read_record(uint64_t id, cursor payload) {
    rts_delivery delivery = take_delivery(id, payload);
    request(&delivery, plugin->read_record, "the plugin does not offer read_record");
}

static void check(uint64_t id) {
    begin(id);
    if (plugin->check) {
        plugin->check(state, id);
    } else {
        complete_not_offered(id, "the plugin does not offer check");
    }
}

/* A cancel that crosses the answer is no news to the plugin. */
static void cancel(uint64_t id) {
    require(stage == STARTED, "CANCEL came without a started plugin");
    if (plugin->cancel && requests_waits(id)) plugin->cancel(state, id);
}

static _Noreturn void stop(void) {
    if (stage == STARTED) plugin->stop(state);
    host_tell_dropped();
    host_tell_counts();
    frames_finish(EX_OK);
}

/* What a load leaves behind in the plugin's heaps goes back to the system once it is over: glibc by itself keeps it. */
static void give_memory_back(void) {
    if (has_worked) malloc_trim(0);
    has_worked = 0;
}

static void answer_ping(void) {
    host_tell_dropped();
    host_tell_counts();
    frames_send(RTW_PONG, 0, NULL);
    give_memory_back();
}

static int has_id(uint8_t type) {
    return type != RTW_START && type != RTW_STOP && type != RTW_PING;
}

static int has_payload(uint8_t type) {
    return type == RTW_START || type == RTW_DELIVER || type == RTW_VERIFY || type == RTW_READ;
}

static void handle(const rtw_frame *header, const uint8_t *bytes) {
    cursor payload = {.at = bytes, .left = header->length};
    require(header->type >= RTW_START && header->type <= RTW_PING, "a frame's type is none that a worker takes");
    require(has_id(header->type) == (header->id != 0), "a frame has an id that should have none, or none");
    require(has_payload(header->type) || header->length == 0, "a frame has a payload that should have none");
    switch ((rtw_type)header->type) {
    case RTW_START: start(payload); break;
    case RTW_DELIVER: deliver(header->id, payload); break;
    case RTW_CANCEL: cancel(header->id); break;
    case RTW_CHECK: check(header->id); break;
    case RTW_VERIFY: verify(header->id, payload); break;
    case RTW_READ: read_record(header->id, payload); break;
    case RTW_STOP: stop();
    case RTW_PING: answer_ping(); break;
    default: break; /* the worker's own types: refused above */
    }
}

_Noreturn void session_run(const rts_plugin *loaded, uint32_t file_count) {
    plugin = loaded;
    files_at_hand = file_count;
    frames_run(handle);
}
