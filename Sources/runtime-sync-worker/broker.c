/*
 * connect, getaddrinfo and freeaddrinfo, exported so that a plugin's libraries use them instead of libc's: the sandbox
 * neither resolves nor connects. They ask the daemon, which looks the name and the port up in the settings, resolves,
 * and connects the very socket that it is sent. Calls may come from many threads at once and are answered in any order.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "worker_protocol.h"

#define EXPORT __attribute__((visibility("default")))

/* A call that waits for its answer; lives on its caller's stack. */
typedef struct call {
    struct call *next;
    uint32_t id;
    int done;
    rtw_broker_answer answer;
} call;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t something_changed = PTHREAD_COND_INITIALIZER;
static call *waiting;
static uint32_t last_id;
static int someone_receives; /* one of the waiting callers, for all of them */
static int broker_is_gone;

static int send_request(const rtw_broker_request *request, int socket_fd) {
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {.bytes = {0}};
    struct iovec part = {.iov_base = (void *)(uintptr_t)request, .iov_len = sizeof *request};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    if (socket_fd >= 0) {
        message.msg_control = control.bytes;
        message.msg_controllen = sizeof control.bytes;
        struct cmsghdr *rights = CMSG_FIRSTHDR(&message);
        rights->cmsg_level = SOL_SOCKET;
        rights->cmsg_type = SCM_RIGHTS;
        rights->cmsg_len = CMSG_LEN(sizeof socket_fd);
        memcpy(CMSG_DATA(rights), &socket_fd, sizeof socket_fd);
    }
    ssize_t count;
    do {
        count = sendmsg(RTW_FD_BROKER, &message, MSG_NOSIGNAL);
    } while (count < 0 && errno == EINTR);
    return count == (ssize_t)sizeof *request ? 0 : -1;
}

/* Called without the lock. 0, or -1 if there is no broker any more. */
static int receive_answer(rtw_broker_answer *answer) {
    ssize_t count;
    do {
        count = recv(RTW_FD_BROKER, answer, sizeof *answer, 0);
    } while (count < 0 && errno == EINTR);
    return count == (ssize_t)sizeof *answer && answer->count <= RTW_ADDRESSES_MAX ? 0 : -1;
}

static void hand_over(const rtw_broker_answer *answer) {
    for (call *candidate = waiting; candidate; candidate = candidate->next) {
        if (candidate->id != answer->id || candidate->done) continue;
        candidate->answer = *answer;
        candidate->done = 1;
        return;
    }
}

/* Waits for this call's answer. Whoever finds nobody receiving does it for all, until its own answer is here. */
static void await(call *own) {
    while (!own->done && !broker_is_gone) {
        if (someone_receives) {
            pthread_cond_wait(&something_changed, &lock);
            continue;
        }
        someone_receives = 1;
        pthread_mutex_unlock(&lock);
        rtw_broker_answer answer;
        int result = receive_answer(&answer);
        pthread_mutex_lock(&lock);
        someone_receives = 0;
        if (result == 0) {
            hand_over(&answer);
        } else {
            broker_is_gone = 1;
        }
        pthread_cond_broadcast(&something_changed);
    }
}

/* 0 with the answer, or -1 if there is no broker. */
static int ask(rtw_broker_request *request, int socket_fd, rtw_broker_answer *answer) {
    /* A thread that were cancelled in here would leave its stack in the list. */
    int cancellation;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancellation);
    pthread_mutex_lock(&lock);
    call own = {.next = waiting, .id = ++last_id};
    waiting = &own;
    pthread_mutex_unlock(&lock);

    request->id = own.id;
    int result = send_request(request, socket_fd);

    pthread_mutex_lock(&lock);
    if (result == 0) await(&own);
    for (call **link = &waiting; *link; link = &(*link)->next) {
        if (*link != &own) continue;
        *link = own.next;
        break;
    }
    pthread_mutex_unlock(&lock);
    pthread_setcancelstate(cancellation, NULL);
    if (!own.done) return -1;
    *answer = own.answer;
    return 0;
}

/* Milliseconds that a connect on a blocking socket may take: SO_SNDTIMEO, as in the kernel. -1: for ever. */
static int patience(int fd) {
    struct timeval limit = {0, 0};
    socklen_t size = sizeof limit;
    if (getsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, &size) != 0) return -1;
    if (limit.tv_sec == 0 && limit.tv_usec == 0) return -1;
    return limit.tv_sec > 86400 ? 86400000 : (int)(limit.tv_sec * 1000 + (limit.tv_usec + 999) / 1000);
}

/* An errno, or 0 when the socket is connected. */
static int await_connection(int fd) {
    struct pollfd entry = {.fd = fd, .events = POLLOUT};
    int ready;
    do {
        ready = poll(&entry, 1, patience(fd));
    } while (ready < 0 && errno == EINTR);
    if (ready == 0) return EINPROGRESS;
    int error = 0;
    socklen_t size = sizeof error;
    if (ready < 0 || getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0) return errno;
    return error;
}

/* An errno; EINPROGRESS as from connect(2). */
static int connect_by_broker(int fd, const struct sockaddr *address, socklen_t size) {
    rtw_broker_request request;
    memset(&request, 0, sizeof request);
    request.op = RTW_CONNECT;
    if (size < sizeof address->sa_family) return EINVAL;
    if (address->sa_family == AF_INET) {
        request.address_size = sizeof(struct sockaddr_in);
    } else if (address->sa_family == AF_INET6) {
        request.address_size = sizeof(struct sockaddr_in6);
    } else {
        return EACCES; /* AF_UNIX above all */
    }
    if (size < request.address_size) return EINVAL;
    memcpy(request.address, address, request.address_size);
    rtw_broker_answer answer;
    if (ask(&request, fd, &answer) != 0) return ENETDOWN;
    return answer.error;
}

/*
 * The daemon would wait in our place on a blocking socket, so it is never sent one: the socket does not block while it is
 * being connected, and the waiting is done here.
 */
EXPORT int connect(int fd, const struct sockaddr *address, socklen_t size) {
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0) return -1;
    int blocking = (flags & O_NONBLOCK) == 0;
    if (blocking && fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0) return -1;
    int error = connect_by_broker(fd, address, size);
    if (blocking) {
        if (error == EINPROGRESS) error = await_connection(fd);
        (void)fcntl(fd, F_SETFL, flags);
    }
    errno = error;
    return error == 0 ? 0 : -1;
}

/* A list element and its address in one piece, so that freeaddrinfo knows what to free. */
typedef struct element {
    struct addrinfo info;
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } address;
} element;

EXPORT void freeaddrinfo(struct addrinfo *list) {
    while (list) {
        struct addrinfo *next = list->ai_next;
        free(list->ai_canonname);
        free(list);
        list = next;
    }
}

static element *make_element(const uint8_t *address, uint32_t size, uint16_t port, int flags) {
    element *made = calloc(1, sizeof *made);
    if (!made) return NULL;
    memcpy(&made->address, address, size);
    if (made->address.any.sa_family == AF_INET) {
        made->address.v4.sin_port = htons(port);
    } else {
        made->address.v6.sin6_port = htons(port);
    }
    made->info = (struct addrinfo){
        .ai_flags = flags, .ai_family = made->address.any.sa_family, .ai_socktype = SOCK_STREAM,
        .ai_protocol = IPPROTO_TCP, .ai_addrlen = size, .ai_addr = &made->address.any};
    return made;
}

static int is_address(const uint8_t *bytes, uint32_t size) {
    sa_family_t family;
    memcpy(&family, bytes, sizeof family);
    return (family == AF_INET && size == sizeof(struct sockaddr_in))
        || (family == AF_INET6 && size == sizeof(struct sockaddr_in6));
}

static int list_of(const rtw_broker_answer *answer, uint16_t port, int flags, struct addrinfo **list) {
    struct addrinfo **link = list;
    for (uint32_t index = 0; index < answer->count; index++) {
        if (!is_address(answer->addresses[index].address, answer->addresses[index].size)) continue;
        element *made = make_element(answer->addresses[index].address, answer->addresses[index].size, port, flags);
        if (!made) return EAI_MEMORY;
        *link = &made->info;
        link = &made->info.ai_next;
    }
    return *list ? 0 : EAI_NONAME;
}

/* Decimal digits only: the names in /etc/services are not looked at. */
static int port_of(const char *service, uint16_t *port) {
    *port = 0;
    if (!service) return 0;
    size_t digits = strspn(service, "0123456789");
    if (digits == 0 || digits > 5 || service[digits] != 0) return EAI_SERVICE;
    long value = strtol(service, NULL, 10);
    if (value > 65535) return EAI_SERVICE;
    *port = (uint16_t)value;
    return 0;
}

/* Only TCP can be had; `hints` is what the caller wants. 0 or an EAI_ value. */
static int is_possible(const struct addrinfo *hints) {
    if (hints->ai_family != AF_UNSPEC && hints->ai_family != AF_INET && hints->ai_family != AF_INET6) {
        return EAI_FAMILY;
    }
    if (hints->ai_socktype != 0 && hints->ai_socktype != SOCK_STREAM) return EAI_SOCKTYPE;
    if (hints->ai_protocol != 0 && hints->ai_protocol != IPPROTO_TCP) return EAI_SOCKTYPE;
    return 0;
}

static int is_literal(const char *host) {
    struct in6_addr address;
    return inet_pton(AF_INET, host, &address) == 1 || inet_pton(AF_INET6, host, &address) == 1;
}

/*
 * Literal addresses are asked for like names: the settings know of both. A missing host would be this machine, where a
 * plugin has nothing to look for.
 */
EXPORT int getaddrinfo(
    const char *host, const char *service, const struct addrinfo *hints, struct addrinfo **result) {
    const struct addrinfo nothing_special = {.ai_family = AF_UNSPEC};
    const struct addrinfo *wanted = hints ? hints : &nothing_special;
    *result = NULL;

    uint16_t port;
    int error = is_possible(wanted);
    if (error == 0) error = port_of(service, &port);
    if (error != 0) return error;
    rtw_broker_request request;
    memset(&request, 0, sizeof request);
    if (!host || !*host || strlen(host) >= sizeof request.host) return EAI_NONAME;
    if (wanted->ai_flags & AI_NUMERICHOST && !is_literal(host)) return EAI_NONAME;
    request.op = RTW_RESOLVE;
    request.family = (uint32_t)wanted->ai_family;
    request.port = port;
    memcpy(request.host, host, strlen(host));

    rtw_broker_answer answer;
    if (ask(&request, -1, &answer) != 0) return EAI_AGAIN;
    if (answer.error != 0) return answer.error;
    struct addrinfo *list = NULL;
    error = list_of(&answer, port, wanted->ai_flags, &list);
    if (error == 0 && wanted->ai_flags & AI_CANONNAME) {
        list->ai_canonname = strdup(host);
        if (!list->ai_canonname) error = EAI_MEMORY;
    }
    if (error != 0) {
        freeaddrinfo(list);
        return error;
    }
    *result = list;
    return 0;
}
