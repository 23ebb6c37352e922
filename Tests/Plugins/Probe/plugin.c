/*
 * A plugin that does what a delivery's kind says: "attack" tries the one that external_id names, the others show how the
 * worker behaves. Outcome DELIVERED: it worked; REFUSED: it did not, with the errno's name in detail.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "probe.h"
#include "runtime_sync.h"

RTS_MANIFEST({
    "name": "Probe", "version": "1.0.0", "abi": "1.0",
    "capabilities": ["credential", "profile", "lifecycle", "notification", "check"],
    "settings": {"type": "object"}
})

static const rts_host *host;

static rts_bytes bytes_of(const char *text) {
    return (rts_bytes){(const uint8_t *)text, strlen(text)};
}

static int is(rts_bytes bytes, const char *text) {
    return bytes.size == strlen(text) && memcmp(bytes.data, text, bytes.size) == 0;
}

static int copy(rts_bytes bytes, char *text, size_t size) {
    if (bytes.size >= size) return -1;
    if (bytes.size > 0) memcpy(text, bytes.data, bytes.size);
    text[bytes.size] = 0;
    return 0;
}

static int32_t answer(uint64_t id, uint32_t outcome, const char *detail) {
    rts_completion completion = {.size = sizeof completion, .outcome = outcome, .detail = bytes_of(detail)};
    return host->complete(host->context, id, &completion);
}

static void answer_errno(uint64_t id, int error) {
    if (error == 0) {
        answer(id, RTS_DELIVERED, "");
    } else {
        const char *name = strerrorname_np(error);
        answer(id, RTS_REFUSED, name ? name : "?");
    }
}

static void attack(const rts_delivery *delivery) {
    char name[64], text[512];
    probe_surroundings surroundings;
    if (copy(delivery->external_id, name, sizeof name) != 0 || copy(delivery->event, text, sizeof text) != 0
        || probe_read_surroundings(text, &surroundings) != 0) {
        answer(delivery->id, RTS_MISCONFIGURED, "surroundings");
        return;
    }
    int error = probe_run(name, &surroundings);
    if (error < 0) {
        answer(delivery->id, RTS_MISCONFIGURED, "no such attack");
    } else {
        answer_errno(delivery->id, error);
    }
}

/* external_id is "host port" or, with kind "connect literal", "address port". */
typedef struct connection {
    uint64_t id;
    char host[256], port[8];
} connection;

static connection *connection_of(const rts_delivery *delivery) {
    char text[264];
    connection *made = calloc(1, sizeof *made);
    if (!made || copy(delivery->external_id, text, sizeof text) != 0) abort();
    made->id = delivery->id;
    if (sscanf(text, "%255s %7s", made->host, made->port) != 2) abort();
    return made;
}

/* Reads the greeting, so that it is known whom the socket reached. The socket must block, as it did before. */
static void answer_greeting(uint64_t id, int fd) {
    char greeting[65] = {0};
    if (fcntl(fd, F_GETFL) & O_NONBLOCK) {
        answer(id, RTS_MISCONFIGURED, "the socket does not block any more");
    } else if (read(fd, greeting, sizeof greeting - 1) > 0) {
        answer(id, RTS_DELIVERED, greeting);
    } else {
        answer_errno(id, errno ? errno : EPIPE);
    }
    close(fd);
}

static void *resolve_and_connect(void *argument) {
    connection *wanted = argument;
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM}, *list;
    int error = getaddrinfo(wanted->host, wanted->port, &hints, &list);
    if (error != 0) {
        answer(wanted->id, RTS_ABSENT, gai_strerror(error));
    } else {
        int fd = socket(list->ai_family, list->ai_socktype, list->ai_protocol);
        if (fd < 0 || connect(fd, list->ai_addr, list->ai_addrlen) != 0) {
            answer_errno(wanted->id, errno);
        } else {
            answer_greeting(wanted->id, fd);
        }
        freeaddrinfo(list);
    }
    free(wanted);
    return NULL;
}

static void connect_literal(const rts_delivery *delivery) {
    connection *wanted = connection_of(delivery);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(wanted->port))};
    inet_pton(AF_INET, wanted->host, &address.sin_addr);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) != 0) {
        answer_errno(wanted->id, errno);
    } else {
        answer_greeting(wanted->id, fd);
    }
    free(wanted);
}

static void in_thread(void *(*function)(void *), void *argument) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, function, argument) != 0) abort();
    pthread_detach(thread);
}

static uint64_t *copied(uint64_t id) {
    uint64_t *copy = malloc(sizeof *copy);
    if (!copy) abort();
    *copy = id;
    return copy;
}

static void *complete_later(void *argument) {
    uint64_t *id = argument;
    answer(*id, RTS_DELIVERED, "from a thread");
    free(id);
    return NULL;
}

/* Looks for what it is not told where: do bytes of an earlier delivery still lie about in writable memory? */
static int is_in_memory(const char *what, size_t size) {
    FILE *maps = fopen("/proc/self/maps", "r");
    if (!maps) return -1;
    char line[512];
    int found = 0;
    while (fgets(line, sizeof line, maps)) {
        unsigned long from, to;
        char access[5];
        if (sscanf(line, "%lx-%lx %4s", &from, &to, access) != 3 || strncmp(access, "rw", 2) != 0) continue;
        if (strstr(line, "[v")) continue;
        for (const char *at = (const char *)from; at + size <= (const char *)to; at++) {
            found += memcmp(at, what, size) == 0 && at != what;
        }
    }
    fclose(maps);
    return found;
}

/* external_id is the secret with each byte one lower, so that the question is not its own answer. */
static void search_memory(const rts_delivery *delivery) {
    char *what = malloc(delivery->external_id.size);
    if (!what) abort();
    for (size_t index = 0; index < delivery->external_id.size; index++) {
        what[index] = (char)(delivery->external_id.data[index] + 1);
    }
    char text[32];
    snprintf(text, sizeof text, "%d", is_in_memory(what, delivery->external_id.size));
    answer(delivery->id, RTS_DELIVERED, text);
    free(what);
}

/* More counts than are taken at once, and the answer at their end. */
static void *complete_in_batch(void *argument) {
    uint64_t id = *(uint64_t *)argument;
    free(argument);
    const rts_batch *batch = host->extension(host->context, RTS_BATCH);
    if (!batch || host->extension(host->context, "batch/0")) abort();
    const char *name = "in_batch";
    batch->begin(host->context);
    for (int count = 0; count < 20000; count++) {
        host->metric(host->context, (rts_bytes){(const uint8_t *)name, strlen(name)}, 1);
    }
    answer(id, RTS_DELIVERED, "in a batch");
    batch->end(host->context);
    return NULL;
}

/* Counts more in a second than is taken at once. Once it is over, answers if the id is even,
 * or counts something else. */
static void *count_over_second(void *argument) {
    uint64_t id = *(uint64_t *)argument;
    free(argument);
    uint64_t second = host->now(host->context) / 1000;
    for (int count = 0; count < 5000; count++) host->metric(host->context, bytes_of("many"), 1);
    while (host->now(host->context) / 1000 == second) sched_yield();
    if (id % 2 == 0) {
        answer(id, RTS_DELIVERED, "");
    } else {
        host->metric(host->context, bytes_of("few"), 1);
    }
    return NULL;
}

/* Frees 16 MiB, which stay in the heap below one block that is still in use. */
static void leave_hole(const rts_delivery *delivery) {
    enum { blocks = 16384, size = 1024 };
    static char *below[blocks], *above;
    for (int index = 0; index < blocks; index++) {
        below[index] = malloc(size);
        if (!below[index]) abort();
        memset(below[index], 'x', size);
    }
    above = malloc(size);
    if (!above) abort();
    for (int index = 0; index < blocks; index++) free(below[index]);
    answer(delivery->id, RTS_DELIVERED, "");
}

static void read_file(const rts_delivery *delivery) {
    char text[128] = {0}, number[8];
    if (copy(delivery->external_id, number, sizeof number) != 0) abort();
    ssize_t count = pread(atoi(number), text, sizeof text - 1, 0);
    if (count < 0) {
        answer_errno(delivery->id, errno);
    } else {
        answer(delivery->id, RTS_DELIVERED, text);
    }
}

static void log_lines(const rts_delivery *delivery) {
    static char line[80 << 10];
    char number[16];
    if (copy(delivery->external_id, number, sizeof number) != 0) abort();
    memset(line, 'x', sizeof line);
    for (int count = atoi(number); count > 0; count--) {
        host->log(host->context, RTS_LOG_WARNING, (rts_bytes){(const uint8_t *)line, sizeof line});
    }
    answer(delivery->id, RTS_DELIVERED, "");
}

static void write_garbage(const rts_delivery *delivery) {
    (void)delivery;
    char garbage[64];
    memset(garbage, 0xff, sizeof garbage);
    (void)!write(3, garbage, sizeof garbage);
}

static void deliver(void *state, const rts_delivery *delivery) {
    (void)state;
    if (is(delivery->kind, "attack")) {
        attack(delivery);
    } else if (is(delivery->kind, "leave a hole")) {
        leave_hole(delivery);
    } else if (is(delivery->kind, "complete")) {
        answer(delivery->id, RTS_DELIVERED, "");
    } else if (is(delivery->kind, "complete later")) {
        in_thread(complete_later, copied(delivery->id));
    } else if (is(delivery->kind, "complete in a batch")) {
        in_thread(complete_in_batch, copied(delivery->id));
    } else if (is(delivery->kind, "count over a second")) {
        in_thread(count_over_second, copied(delivery->id));
    } else if (is(delivery->kind, "complete twice")) {
        int32_t first = answer(delivery->id, RTS_DELIVERED, "");
        int32_t second = answer(delivery->id, RTS_REFUSED, "again");
        int32_t unknown = answer(delivery->id + 1000, RTS_DELIVERED, "");
        host->metric(host->context, bytes_of("first"), first);
        host->metric(host->context, bytes_of("second"), second);
        host->metric(host->context, bytes_of("unknown"), unknown);
        host->metric(host->context, bytes_of("Not A Name"), 1);
    } else if (is(delivery->kind, "answer nonsense")) {
        answer(delivery->id, 77, "nonsense");
    } else if (is(delivery->kind, "answer at length")) {
        char *detail = malloc(1u << 20);
        if (!detail) abort();
        memset(detail, 'd', (1u << 20) - 1);
        detail[(1u << 20) - 1] = 0;
        rts_completion completion = {.size = sizeof completion, .outcome = RTS_DELIVERED, .detail = bytes_of(detail),
                                     .record = bytes_of(detail)};
        host->complete(host->context, delivery->id, &completion);
        free(detail);
    } else if (is(delivery->kind, "connect")) {
        in_thread(resolve_and_connect, connection_of(delivery));
    } else if (is(delivery->kind, "connect literal")) {
        connect_literal(delivery);
    } else if (is(delivery->kind, "search memory")) {
        search_memory(delivery);
    } else if (is(delivery->kind, "read file")) {
        read_file(delivery);
    } else if (is(delivery->kind, "log")) {
        log_lines(delivery);
    } else if (is(delivery->kind, "write garbage")) {
        write_garbage(delivery);
    } else if (is(delivery->kind, "close frames")) {
        close(3);
        answer(delivery->id, RTS_DELIVERED, "");
    } else if (is(delivery->kind, "crash")) {
        abort();
    } /* anything else is never completed */
}

static void cancel(void *state, uint64_t id) {
    (void)state;
    answer(id, RTS_UNKNOWN, "cancelled");
}

/* Its settings say how to start: {"refuse":true} or anything else. */
static const char *start(const rts_start *start, void **state) {
    static int nothing;
    *state = &nothing;
    host->log(host->context, RTS_LOG_INFO, start->provider);
    for (size_t index = 0; index < start->file_count; index++) {
        host->log(host->context, RTS_LOG_DEBUG, start->files[index].key);
    }
    return is(start->settings, "{\"refuse\":true}") ? "told to refuse" : NULL;
}

static void stop(void *state) {
    (void)state;
    host->log(host->context, RTS_LOG_INFO, bytes_of("stopped"));
}

static const rts_plugin plugin = {
    .size = sizeof plugin, .abi_major = RTS_ABI_MAJOR, .abi_minor = RTS_ABI_MINOR,
    .start = start, .deliver = deliver, .cancel = cancel, .stop = stop};

RTS_EXPORT const rts_plugin *runtime_sync_plugin(const rts_host *the_host) {
    host = the_host;
    return &plugin;
}
