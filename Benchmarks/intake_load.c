// Plays Keycloak: posts signed password events to the intake as fast as it answers, or at a given rate.
//
//   intake_load --port N --secret FILE --events N [--connections N] [--batch N] [--rate N] [--users N] [--first N]
//               --tag TEXT [--times FILE]
//
//   --connections  each with one request outstanding; default 64
//   --batch        events a request, as NDJSON, 500 at most; default 1, as plain JSON
//   --rate         requests a second; default 0, as fast as the intake answers
//   --users        events go to u0 … u(N-1) in turn; default 10000
//   --first        sequence number of the first event at its source; default 1
//   --tag          passwords are TAG-u0 …; part of the event ids, so every run needs its own
//   --times        writes a line for each request: first user, when it was due, when its answer had come (ns since 1970)
//
// Every request is made and signed (Standard Webhooks, HMAC-SHA256) before the clock starts: a real Keycloak does that
// on a machine of its own. Prints one JSON object; the exit code is 0 only if every event was accepted as new.

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

struct request {
    char *bytes;
    size_t length;
    long first_user;
    long events;
    /// Nanoseconds since 1970.
    long due, answered;
};

struct connection {
    int socket;
    /// What it is busy with; -1 if it is free.
    long request;
    size_t sent, received;
    char answer[1 << 16];
};

static long events = 0, connections = 64, batch = 1, rate = 0, users = 10000, first = 1, port = 0;
static const char *secret_path, *tag, *times_path;
static unsigned char secret[64];
static size_t secret_length;

static void die(const char *what) {
    fprintf(stderr, "intake_load: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void *allocate(size_t count, size_t size) {
    void *memory = calloc(count, size);
    if (memory == NULL) die("memory");
    return memory;
}

static long now(void) {
    struct timespec time;
    clock_gettime(CLOCK_REALTIME, &time);
    return time.tv_sec * 1000000000L + time.tv_nsec;
}

// Requests

/// Reads `whsec_` and Base64, as it stands in the source's secret file.
static void read_secret(void) {
    char text[256] = {0};
    unsigned char decoded[256];
    FILE *file = fopen(secret_path, "r");
    if (file == NULL || fgets(text, sizeof text, file) == NULL) die(secret_path);
    fclose(file);
    char *digits = strncmp(text, "whsec_", 6) == 0 ? text + 6 : text;
    digits[strcspn(digits, "\n")] = '\0';
    size_t length = strlen(digits), padding = strcspn(digits, "=");
    int count = EVP_DecodeBlock(decoded, (unsigned char *)digits, (int)length);
    if (count < 0) die("the secret is not Base64");
    secret_length = (size_t)count - (length - padding);
    if (secret_length > sizeof secret) die("the secret is too long");
    memcpy(secret, decoded, secret_length);
}

/// Writes one event; returns its length.
static size_t write_event(char *out, size_t size, long index) {
    long user = index % users, milliseconds = now() / 1000000;
    time_t seconds = milliseconds / 1000;
    struct tm parts;
    char moment[32];
    gmtime_r(&seconds, &parts);
    strftime(moment, sizeof moment, "%Y-%m-%dT%H:%M:%S", &parts);
    int length = snprintf(
        out, size,
        "{\"specversion\":\"1\",\"id\":\"%s-%ld\",\"kind\":\"password.updated\",\"time\":\"%s.%03ldZ\","
        "\"source\":{\"instance\":\"bench\",\"realm\":\"corp\",\"realmId\":\"corp\",\"type\":\"UPDATE_CREDENTIAL\"},"
        "\"subject\":{\"id\":\"9a3c0000-0000-4000-8000-%012ld\",\"username\":\"u%ld\",\"attributes\":"
        "{\"syncEnabled\":[\"true\"],\"userType\":[\"employee\"],\"externalId\":[\"u%ld\"]}},"
        "\"version\":{\"at\":\"%s.%03ldZ\",\"node\":\"kc-0\",\"sequence\":%ld},"
        "\"credential\":{\"type\":\"password\",\"value\":\"%s-u%ld\",\"temporary\":false}}",
        tag, first + index, moment, milliseconds % 1000, user, user, user, moment, milliseconds % 1000, first + index,
        tag, user);
    if (length < 0 || (size_t)length >= size) die("an event is too long");
    return (size_t)length;
}

static void sign(const char *id, long seconds, const char *body, size_t length, char *signature) {
    char head[128];
    unsigned char mac[EVP_MAX_MD_SIZE];
    size_t mac_length;
    int head_length = snprintf(head, sizeof head, "%s.%ld.", id, seconds);
    char *whole = allocate(1, (size_t)head_length + length);
    memcpy(whole, head, (size_t)head_length);
    memcpy(whole + head_length, body, length);
    if (EVP_Q_mac(
            NULL, "HMAC", NULL, "SHA256", NULL, secret, secret_length, (unsigned char *)whole,
            (size_t)head_length + length, mac, sizeof mac, &mac_length)
        == NULL)
        die("HMAC");
    free(whole);
    EVP_EncodeBlock((unsigned char *)signature, mac, (int)mac_length);
}

static struct request make_request(long index, long count) {
    enum { event_at_most = 1024, head_at_most = 512 };
    char *body = allocate((size_t)count, event_at_most);
    size_t length = 0;
    for (long i = 0; i < count; i++) {
        length += write_event(body + length, event_at_most, index + i);
        if (batch > 1) body[length++] = '\n';
    }
    char id[64], signature[64];
    long seconds = now() / 1000000000;
    snprintf(id, sizeof id, "msg_%s_%ld", tag, first + index);
    sign(id, seconds, body, length, signature);
    struct request request = {allocate(1, head_at_most + length), 0, index % users, count, 0, 0};
    int head = snprintf(
        request.bytes, head_at_most,
        "POST /v1/events HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: %s\r\nContent-Length: %zu\r\n"
        "webhook-id: %s\r\nwebhook-timestamp: %ld\r\nwebhook-signature: v1,%s\r\n\r\n",
        batch > 1 ? "application/x-ndjson" : "application/json", length, id, seconds, signature);
    memcpy(request.bytes + head, body, length);
    request.length = (size_t)head + length;
    free(body);
    return request;
}

// Connections

static void open_connection(struct connection *connection) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
    int on = 1;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connection->socket = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connection->socket < 0 || connect(connection->socket, (struct sockaddr *)&address, sizeof address) != 0)
        die("connect");
    setsockopt(connection->socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    connection->request = -1;
}

/// Sends as much as the socket takes; returns whether that was all.
static int send_rest(struct connection *connection, struct request *request) {
    while (connection->sent < request->length) {
        ssize_t count = send(
            connection->socket, request->bytes + connection->sent, request->length - connection->sent,
            MSG_NOSIGNAL | MSG_DONTWAIT);
        if (count < 0 && errno == EAGAIN) return 0;
        if (count < 0) die("send");
        connection->sent += (size_t)count;
    }
    return 1;
}

/// Receives what there is; returns whether the answer is whole. Anything but "accepted" for every event ends the run.
static int receive(struct connection *connection, struct request *request) {
    ssize_t count = recv(
        connection->socket, connection->answer + connection->received,
        sizeof connection->answer - 1 - connection->received, MSG_DONTWAIT);
    if (count < 0 && errno == EAGAIN) return 0;
    if (count <= 0) die("the intake closed a connection");
    connection->received += (size_t)count;
    connection->answer[connection->received] = '\0';
    char *body = strstr(connection->answer, "\r\n\r\n");
    char *length = strcasestr(connection->answer, "content-length:");
    if (body == NULL) return 0;
    if (length == NULL || length > body) die("an answer without a length");
    body += 4;
    if (connection->received - (size_t)(body - connection->answer) < strtoul(length + 15, NULL, 10)) return 0;
    long accepted = 0;
    for (char *at = body; (at = strstr(at, "\"accepted\"")) != NULL; at++) accepted++;
    if (strncmp(connection->answer, "HTTP/1.1 202", 12) != 0 || accepted != request->events) {
        fprintf(stderr, "intake_load: not accepted: %.600s\n", connection->answer);
        exit(1);
    }
    return 1;
}

static void watch(int poll, struct connection *connection, int operation, uint32_t wanted) {
    struct epoll_event event = {.events = wanted, .data.ptr = connection};
    if (epoll_ctl(poll, operation, connection->socket, &event) != 0) die("epoll");
}

static void begin(int poll, struct connection *connection, struct request *all, long index) {
    connection->request = index;
    connection->sent = connection->received = 0;
    if (!send_rest(connection, &all[index])) watch(poll, connection, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT);
}

// The run

static int by_size(const void *left, const void *right) {
    long a = *(const long *)left, b = *(const long *)right;
    return (a > b) - (a < b);
}

static void report(struct request *all, long count) {
    long *latency = allocate((size_t)count, sizeof *latency);
    long start = all[0].due, end = 0, first_answer = all[0].answered;
    for (long i = 0; i < count; i++) {
        latency[i] = all[i].answered - all[i].due;
        if (all[i].answered > end) end = all[i].answered;
        if (all[i].answered < first_answer) first_answer = all[i].answered;
    }
    qsort(latency, (size_t)count, sizeof *latency, by_size);
    double seconds = (double)(end - start) / 1e9;
    printf(
        "{\"events\": %ld, \"seconds\": %.6f, \"rate\": %.1f, \"p50_ms\": %.3f, \"p99_ms\": %.3f, "
        "\"body_bytes\": %zu, \"start\": %.6f, \"first_answer\": %.6f, \"end\": %.6f}\n",
        events, seconds, (double)events / seconds, (double)latency[count / 2] / 1e6,
        (double)latency[count * 99 / 100] / 1e6, all[0].length, (double)start / 1e9, (double)first_answer / 1e9,
        (double)end / 1e9);
    free(latency);
}

static void write_times(struct request *all, long count) {
    FILE *file = fopen(times_path, "w");
    if (file == NULL) die(times_path);
    for (long i = 0; i < count; i++) fprintf(file, "%ld %ld %ld\n", all[i].first_user, all[i].due, all[i].answered);
    if (fclose(file) != 0) die(times_path);
}

static void run(struct request *all, long count, struct connection *clients) {
    int poll = epoll_create1(EPOLL_CLOEXEC);
    for (long i = 0; i < connections; i++) {
        open_connection(&clients[i]);
        watch(poll, &clients[i], EPOLL_CTL_ADD, EPOLLIN);
    }
    long start = now(), next = 0, done = 0;
    while (done < count) {
        struct timespec none = {0, 0}, *wait = NULL;
        for (long i = 0; i < connections && next < count; i++) {
            if (clients[i].request >= 0) continue;
            long moment = now();
            // At a rate, what comes late counts as late: the clock of a request starts when it was due.
            long due = rate > 0 ? start + next * (1000000000L / rate) : moment;
            if (due > moment) {
                none.tv_nsec = due - moment;
                wait = &none;
                break;
            }
            all[next].due = due;
            begin(poll, &clients[i], all, next++);
        }
        struct epoll_event ready[64];
        if (none.tv_nsec >= 1000000000L) none.tv_nsec = 999999999L;
        int events_ready = epoll_pwait2(poll, ready, 64, wait, NULL);
        if (events_ready < 0 && errno != EINTR) die("epoll");
        for (int i = 0; i < events_ready; i++) {
            struct connection *client = ready[i].data.ptr;
            if (client->request < 0) die("an answer to no request");
            struct request *request = &all[client->request];
            if ((ready[i].events & EPOLLOUT) != 0 && send_rest(client, request))
                watch(poll, client, EPOLL_CTL_MOD, EPOLLIN);
            if ((ready[i].events & ~(uint32_t)EPOLLOUT) == 0 || !receive(client, request)) continue;
            request->answered = now();
            client->request = -1;
            done++;
            if (rate > 0 || next >= count) continue;
            all[next].due = request->answered;
            begin(poll, client, all, next++);
        }
    }
    close(poll);
}

int main(int count, char **argument) {
    static const struct option options[] = {
        {"port", 1, NULL, 'p'},  {"secret", 1, NULL, 's'}, {"events", 1, NULL, 'e'}, {"connections", 1, NULL, 'c'},
        {"batch", 1, NULL, 'b'}, {"rate", 1, NULL, 'r'},   {"users", 1, NULL, 'u'},  {"first", 1, NULL, 'f'},
        {"tag", 1, NULL, 't'},   {"times", 1, NULL, 'w'},  {NULL, 0, NULL, 0}};
    for (int option; (option = getopt_long(count, argument, "", options, NULL)) != -1;) {
        switch (option) {
        case 'p': port = atol(optarg); break;
        case 's': secret_path = optarg; break;
        case 'e': events = atol(optarg); break;
        case 'c': connections = atol(optarg); break;
        case 'b': batch = atol(optarg); break;
        case 'r': rate = atol(optarg); break;
        case 'u': users = atol(optarg); break;
        case 'f': first = atol(optarg); break;
        case 't': tag = optarg; break;
        case 'w': times_path = optarg; break;
        default: return 2;
        }
    }
    if (port < 1 || events < 1 || connections < 1 || batch < 1 || batch > 500 || users < 1 || secret_path == NULL
        || tag == NULL) {
        fprintf(stderr, "usage: see the head of intake_load.c\n");
        return 2;
    }
    read_secret();
    long requests = (events + batch - 1) / batch;
    struct request *all = allocate((size_t)requests, sizeof *all);
    struct connection *clients = allocate((size_t)connections, sizeof *clients);
    for (long i = 0; i < requests; i++) {
        long left = events - i * batch;
        all[i] = make_request(i * batch, left < batch ? left : batch);
    }
    run(all, requests, clients);
    report(all, requests);
    if (times_path != NULL) write_times(all, requests);
    return 0;
}
