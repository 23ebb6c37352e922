/*
 * A plugin that does what it is told, good or bad: at start what the settings contain ("hang", "refuse", "crash"), and
 * with each request what its external_id says. Requests that say nothing are completed by threads of its own, in any
 * order.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "runtime_sync.h"
#include "worker_protocol.h"

RTS_MANIFEST({"name": "Puppet", "version": "1.0.0", "abi": "1.0", "capabilities": ["credential", "check"]})

#define MOST 65536u

static const rts_host *host;
static int file = -1;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t something_to_do = PTHREAD_COND_INITIALIZER;
static uint64_t to_do[MOST];
static size_t count;
static uint64_t kept;

static rts_bytes bytes_of(const char *text) {
    return (rts_bytes){(const uint8_t *)text, strlen(text)};
}

static int contains(rts_bytes bytes, const char *text) {
    return bytes.data && memmem(bytes.data, bytes.size, text, strlen(text)) != NULL;
}

static int is(rts_bytes bytes, const char *text) {
    return bytes.size == strlen(text) && memcmp(bytes.data, text, bytes.size) == 0;
}

static void answer(uint64_t id, uint32_t outcome, const char *detail) {
    rts_completion completion = {.size = sizeof completion, .outcome = outcome, .detail = bytes_of(detail)};
    (void)host->complete(host->context, id, &completion);
}

static void *complete_requests(void *nothing) {
    (void)nothing;
    pthread_mutex_lock(&lock);
    for (;;) {
        while (count == 0) pthread_cond_wait(&something_to_do, &lock);
        uint64_t id = to_do[--count];
        pthread_mutex_unlock(&lock);
        answer(id, RTS_DELIVERED, "done");
        pthread_mutex_lock(&lock);
    }
    return NULL;
}

static void hang(void) {
    for (;;) poll(NULL, 0, -1);
}

/* "HOST PORT": a connection through getaddrinfo; "=ADDRESS PORT": one without. */
static void *connect_somewhere(void *argument) {
    char *line = argument;
    unsigned long long id;
    char name[256], port[8];
    if (sscanf(line, "%llu %255s %7s", &id, name, port) != 3) abort();
    free(line);
    int fd = socket(AF_INET, SOCK_STREAM, IPPROTO_TCP);
    int error = 0;
    if (name[0] == '=') {
        struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};
        inet_pton(AF_INET, name + 1, &address.sin_addr);
        error = connect(fd, (struct sockaddr *)&address, sizeof address) == 0 ? 0 : errno;
    } else {
        struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM}, *list;
        int result = getaddrinfo(name, port, &hints, &list);
        if (result != 0) {
            answer(id, RTS_REFUSED, result == EAI_NONAME ? "EAI_NONAME" : gai_strerror(result));
            close(fd);
            return NULL;
        }
        error = connect(fd, list->ai_addr, list->ai_addrlen) == 0 ? 0 : errno;
        freeaddrinfo(list);
    }
    answer(id, error == 0 ? RTS_DELIVERED : RTS_REFUSED, error == 0 ? "" : strerrorname_np(error));
    close(fd);
    return NULL;
}

/* "!ADDRESS PORT": past the worker's own connect, a socket that blocks is sent to the broker. */
static void connect_blocking(uint64_t id, const char *order) {
    char address[64];
    unsigned port;
    if (sscanf(order, "!%63s %u", address, &port) != 2) abort();
    struct sockaddr_in target = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    inet_pton(AF_INET, address, &target.sin_addr);
    rtw_broker_request request = {.op = RTW_CONNECT, .id = 4711, .address_size = sizeof target};
    memcpy(request.address, &target, sizeof target);
    int fd = socket(AF_INET, SOCK_STREAM, IPPROTO_TCP);
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof fd)];
    } control = {.bytes = {0}};
    struct iovec part = {.iov_base = &request, .iov_len = sizeof request};
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes};
    struct cmsghdr *rights = CMSG_FIRSTHDR(&message);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(sizeof fd);
    memcpy(CMSG_DATA(rights), &fd, sizeof fd);
    rtw_broker_answer reply;
    if (sendmsg(RTW_FD_BROKER, &message, 0) < 0 || recv(RTW_FD_BROKER, &reply, sizeof reply, 0) != sizeof reply) abort();
    const char *flags = fcntl(fd, F_GETFL) & O_NONBLOCK ? "does not block" : "blocks";
    answer(id, reply.error == 0 ? RTS_DELIVERED : RTS_REFUSED, reply.error == 0 ? flags : strerrorname_np(reply.error));
    close(fd);
}

static void start_thread(void *(*function)(void *), void *argument) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, function, argument) != 0) abort();
    pthread_detach(thread);
}

/* Says the password wherever words can be said: in the log, as a name to look up, as a counter, in its answer, and in the
 * log again, in hexadecimal, when it has nothing to do with it any more. */
static void betray(const rts_delivery *delivery) {
    char text[256], said[512], hexadecimal[513] = "";
    snprintf(text, sizeof text, "%.*s", (int)delivery->secret.size, (const char *)delivery->secret.data);
    for (size_t index = 0; index < delivery->secret.size && index < 256; index++) {
        snprintf(hexadecimal + 2 * index, 3, "%02x", delivery->secret.data[index]);
    }
    snprintf(said, sizeof said, "the password is %s", text);
    host->log(host->context, RTS_LOG_WARNING, bytes_of(said));
    host->metric(host->context, bytes_of(hexadecimal), 1);
    struct addrinfo *list;
    if (getaddrinfo(text, "389", NULL, &list) == 0) freeaddrinfo(list);
    snprintf(said, sizeof said, "constraint violation for u1@corp.example: %s", text);
    answer(delivery->id, RTS_REFUSED, said);
    snprintf(said, sizeof said, "once more: %s", hexadecimal);
    host->log(host->context, RTS_LOG_ERROR, bytes_of(said));
}

/* Says the password where a detail, and a log line, end for the daemon: three bytes before. */
static void betray_at_the_end(const rts_delivery *delivery) {
    char said[8192];
    memset(said, 'x', sizeof said);
    snprintf(said + 4093, sizeof said - 4093, "%.*s", (int)delivery->secret.size, (const char *)delivery->secret.data);
    host->log(host->context, RTS_LOG_WARNING, bytes_of(said));
    answer(delivery->id, RTS_REFUSED, said + 4093 - 1021);
}

static const char *start(const rts_start *request, void **state) {
    *state = NULL;
    if (contains(request->settings, "refuse")) return "no base\x1b[2J";
    if (contains(request->settings, "crash")) abort();
    if (contains(request->settings, "hang")) hang();
    if (request->file_count > 0) file = request->files[0].fd;
    start_thread(complete_requests, NULL);
    start_thread(complete_requests, NULL);
    return NULL;
}

static void deliver(void *state, const rts_delivery *delivery) {
    (void)state;
    rts_bytes order = delivery->external_id;
    if (!order.data) {
        pthread_mutex_lock(&lock);
        to_do[count++] = delivery->id;
        pthread_cond_signal(&something_to_do);
        pthread_mutex_unlock(&lock);
    } else if (is(order, "crash")) {
        *(volatile int *)8 = 0;
    } else if (is(order, "exit")) {
        _exit(0);
    } else if (is(order, "hang")) {
        hang();
    } else if (is(order, "hang up")) {
        shutdown(3, SHUT_RDWR);
        hang();
    } else if (is(order, "garbage")) {
        const char garbage[] = "HTTP/1.1 400 Bad Request\r\n\r\n";
        if (write(3, garbage, sizeof garbage) < 0) abort();
    } else if (is(order, "keep")) {
        kept = delivery->id;
    } else if (is(order, "twice")) {
        answer(delivery->id, RTS_DELIVERED, "once");
        answer(delivery->id, RTS_DELIVERED, "twice");
    } else if (is(order, "print")) {
        printf("a password, perhaps\n");
        fflush(stdout);
        answer(delivery->id, RTS_DELIVERED, "");
    } else if (is(order, "log")) {
        for (int line = 0; line < 1000; line++) host->log(host->context, RTS_LOG_INFO, bytes_of("so it goes"));
        host->metric(host->context, bytes_of("lines_total"), 1000);
        answer(delivery->id, RTS_DELIVERED, "");
    } else if (is(order, "count")) {
        for (int time = 0; time < 100000; time++) host->metric(host->context, bytes_of("times"), 1);
        answer(delivery->id, RTS_DELIVERED, "");
    } else if (is(order, "betray")) {
        betray(delivery);
    } else if (is(order, "betray at the end")) {
        betray_at_the_end(delivery);
    } else if (is(order, "file")) {
        char text[64] = "";
        if (pread(file, text, sizeof text - 1, 0) < 0) abort();
        answer(delivery->id, RTS_DELIVERED, text);
    } else if (order.size > 0 && order.data[0] == '!') {
        char line[128];
        snprintf(line, sizeof line, "%.*s", (int)order.size, (const char *)order.data);
        connect_blocking(delivery->id, line);
    } else if (is(order, "binary account")) {
        rts_completion completion = {.size = sizeof completion, .outcome = RTS_DELIVERED};
        completion.account = (rts_bytes){(const uint8_t *)"\xff\xfe", 2};
        (void)host->complete(host->context, delivery->id, &completion);
    } else {
        char *line;
        if (asprintf(&line, "%llu %.*s", (unsigned long long)delivery->id, (int)order.size, (const char *)order.data) < 0) {
            abort();
        }
        start_thread(connect_somewhere, line);
    }
}

static void check(void *state, uint64_t id) {
    (void)state;
    answer(id, RTS_DELIVERED, "checked");
}

static void stop(void *state) {
    (void)state;
    if (kept) answer(kept, RTS_RETRY, "stopping");
}

RTS_EXPORT const rts_plugin *runtime_sync_plugin(const rts_host *from);

RTS_EXPORT const rts_plugin *runtime_sync_plugin(const rts_host *from) {
    static const rts_plugin table = {
        .size = sizeof table, .abi_major = RTS_ABI_MAJOR, .abi_minor = RTS_ABI_MINOR,
        .start = start, .deliver = deliver, .check = check, .stop = stop};
    host = from;
    return &table;
}
