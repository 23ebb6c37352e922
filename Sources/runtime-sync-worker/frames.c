#define _GNU_SOURCE
#include "frames.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

/* -- Sending ---------------------------------------------------------------------------------------------------- */

#define ENOUGH_UNREAD (1u << 20)
#define WORTH_KEEPING (256u << 10)

typedef struct bytes {
    uint8_t *data;
    size_t size, capacity;
} bytes;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t less_to_write = PTHREAD_COND_INITIALIZER;
static bytes pending; /* frames that nobody writes yet */
static bytes leaving; /* frames that the writer writes, without the lock */
static size_t left;   /* of `leaving`, how many bytes have been written */
static int someone_writes;
static _Thread_local int is_main_thread;
static _Thread_local int collects; /* between frames_begin_batch and frames_end_batch */

/* Frames that wait for company. */
#define LONGEST_WAIT_NS 2000000
static uint32_t gathered;   /* how many of those in `pending` may wait */
static uint32_t to_come;    /* how many more like them are expected */
static int is_urgent;       /* something else in `pending` may not */
static uint64_t departures; /* how often `pending` has left */
static int nobody_gathers;  /* the thread that ends the waiting sleeps */
static pthread_cond_t someone_gathers = PTHREAD_COND_INITIALIZER;

static uint8_t *extended(bytes *buffer, size_t more) {
    if (buffer->capacity - buffer->size < more) {
        size_t capacity = buffer->capacity ? buffer->capacity : 4096;
        while (capacity - buffer->size < more) capacity *= 2;
        uint8_t *data = realloc(buffer->data, capacity);
        if (!data) abort();
        buffer->data = data;
        buffer->capacity = capacity;
    }
    uint8_t *place = buffer->data + buffer->size;
    buffer->size += more;
    return place;
}

static void put(bytes *buffer, const void *data, size_t size) {
    if (size > 0) memcpy(extended(buffer, size), data, size);
}

static void put_frame(bytes *buffer, rtw_type type, uint64_t id, const frame_content *content) {
    size_t length = content->number_count * sizeof(uint32_t);
    for (size_t index = 0; index < content->text_count; index++) {
        length += sizeof(uint32_t) + (content->texts[index].data ? content->texts[index].size : 0);
    }
    rtw_frame header = {.length = (uint32_t)length, .type = (uint8_t)type, .id = id};
    put(buffer, &header, sizeof header);
    put(buffer, content->numbers, content->number_count * sizeof(uint32_t));
    for (size_t index = 0; index < content->text_count; index++) {
        rts_bytes text = content->texts[index];
        uint32_t size = text.data ? (uint32_t)text.size : RTW_ABSENT;
        put(buffer, &size, sizeof size);
        if (text.data) put(buffer, text.data, text.size);
    }
}

/* The next frames to write, if there are any. A buffer that grew for a large one is not kept. */
static int take_pending(void) {
    if (leaving.capacity > WORTH_KEEPING) {
        free(leaving.data);
        leaving = (bytes){.data = NULL};
    }
    bytes empty = {.data = leaving.data, .capacity = leaving.capacity};
    leaving = pending;
    pending = empty;
    left = 0;
    gathered = 0;
    is_urgent = 0;
    departures++;
    pthread_cond_broadcast(&less_to_write);
    return leaving.size > 0;
}

/* Writes until nothing is left (1), or, with MSG_DONTWAIT, until the daemon has to read first (0). The caller has the
 * lock, which is let go meanwhile, and has set someone_writes. */
static int write_pending(int flags) {
    while (left < leaving.size || take_pending()) {
        pthread_mutex_unlock(&lock);
        ssize_t count = send(RTW_FD_FRAMES, leaving.data + left, leaving.size - left, flags | MSG_NOSIGNAL);
        int error = errno;
        pthread_mutex_lock(&lock);
        if (count >= 0) {
            left += (size_t)count;
        } else if (error == EAGAIN) {
            return 0;
        } else if (error != EINTR) {
            _exit(EX_SOFTWARE); /* the daemon is gone, or the plugin has closed what is not its own */
        }
    }
    return 1;
}

static void stop_writing(void) {
    someone_writes = 0;
    pthread_cond_broadcast(&less_to_write);
}

/* Writes what is pending, if nobody else does, and waits while it is too much. The caller, not the main thread, has the
 * lock. */
static void write_or_wait(void) {
    while (pending.size > 0 && (!someone_writes || pending.size > ENOUGH_UNREAD)) {
        if (someone_writes) {
            pthread_cond_wait(&less_to_write, &lock);
            continue;
        }
        someone_writes = 1;
        (void)write_pending(0);
        stop_writing();
    }
}

/* Lets what is pending go, or lets it wait for company. The caller, not the main thread, has the lock. */
static void leave(void) {
    if (is_urgent || gathered >= to_come / 3 || pending.size > WORTH_KEEPING) {
        write_or_wait();
    } else if (nobody_gathers) {
        nobody_gathers = 0;
        pthread_cond_signal(&someone_gathers);
    }
}

static void add(rtw_type type, uint64_t id, const frame_content *content) {
    const frame_content nothing = {.numbers = NULL};
    put_frame(&pending, type, id, content ? content : &nothing);
    if (!is_main_thread && (!collects || pending.size > WORTH_KEEPING)) leave();
}

void frames_send(rtw_type type, uint64_t id, const frame_content *content) {
    pthread_mutex_lock(&lock);
    is_urgent = 1;
    add(type, id, content);
    pthread_mutex_unlock(&lock);
}

void frames_gather(rtw_type type, uint64_t id, const frame_content *content, uint32_t others) {
    pthread_mutex_lock(&lock);
    gathered++;
    to_come = others;
    add(type, id, content);
    pthread_mutex_unlock(&lock);
}

void frames_begin_batch(void) {
    collects = 1;
}

void frames_end_batch(void) {
    collects = 0;
    if (is_main_thread) return; /* its batch ends with the frames it reads */
    pthread_mutex_lock(&lock);
    if (pending.size > 0) leave();
    pthread_mutex_unlock(&lock);
}

/* Sends what has waited long enough for company that did not come. A thread of its own; asleep while nothing waits. */
static void *send_late(void *unused) {
    const struct timespec longest = {.tv_nsec = LONGEST_WAIT_NS};
    pthread_mutex_lock(&lock);
    for (;;) {
        while (gathered == 0) {
            nobody_gathers = 1;
            pthread_cond_wait(&someone_gathers, &lock);
        }
        nobody_gathers = 0;
        uint64_t departure = departures;
        pthread_mutex_unlock(&lock);
        nanosleep(&longest, NULL);
        pthread_mutex_lock(&lock);
        if (gathered > 0 && departures == departure) write_or_wait();
    }
    return unused;
}

static void start_sending_late(void) {
    sigset_t all, before;
    pthread_attr_t attributes;
    pthread_t thread;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 64u << 10);
    if (pthread_create(&thread, &attributes, send_late, NULL) != 0) abort();
    pthread_detach(thread);
    pthread_attr_destroy(&attributes);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

/*
 * At the end of a batch, or when the daemon has read some. Returns whether all is written, or another thread is at it.
 * Otherwise the main thread does not stay the writer: in the next batch the plugin may wait for a thread of its own that
 * waits to send.
 */
static int write_without_waiting(void) {
    int is_written = 1;
    pthread_mutex_lock(&lock);
    if (!someone_writes) {
        someone_writes = 1;
        is_written = write_pending(MSG_DONTWAIT);
        stop_writing();
    }
    pthread_mutex_unlock(&lock);
    return is_written;
}

_Noreturn void frames_finish(int status) {
    pthread_mutex_lock(&lock);
    while (someone_writes) pthread_cond_wait(&less_to_write, &lock);
    someone_writes = 1;
    (void)write_pending(0);
    _exit(status); /* not exit: the plugin's threads are still running */
}

_Noreturn void frames_fail(rtw_stage stage, const char *why) {
    static const int statuses[] = {
        [RTW_STAGE_LOCKDOWN] = EX_NOPERM, [RTW_STAGE_LOAD] = EX_CONFIG, [RTW_STAGE_PROTOCOL] = EX_PROTOCOL};
    uint32_t number = stage;
    rts_bytes text = {(const uint8_t *)why, strlen(why)};
    is_main_thread = 1;
    frames_send(RTW_FAILED, 0, &(frame_content){&number, 1, &text, 1});
    frames_finish(statuses[stage]);
}

/* -- Receiving -------------------------------------------------------------------------------------------------- */

#define USUAL_CAPACITY (256u << 10)

/* What has come and was not handled yet is input[start] to input[end - 1]; everything else in it is wiped. */
static uint8_t *input;
static size_t capacity, start, end;

/* Makes room for a frame of `size` bytes in all, at the buffer's beginning. */
static void make_room(size_t size) {
    size_t kept = end - start;
    size_t wanted = size > USUAL_CAPACITY ? size : USUAL_CAPACITY;
    if (wanted < kept) wanted = kept;
    if (wanted == capacity) {
        memmove(input, input + start, kept);
        explicit_bzero(input + kept, end - kept);
    } else {
        uint8_t *other = malloc(wanted);
        if (!other) abort();
        if (kept > 0) memcpy(other, input + start, kept);
        if (input) explicit_bzero(input, capacity);
        free(input);
        input = other;
        capacity = wanted;
    }
    start = 0;
    end = kept;
}

/* The size of the frame that begins at `start`, as far as it is known. */
static size_t next_size(void) {
    rtw_frame header;
    if (end - start < sizeof header) return sizeof header;
    memcpy(&header, input + start, sizeof header);
    if (header.length > RTW_MAX_PAYLOAD) frames_fail(RTW_STAGE_PROTOCOL, "a frame is longer than 4 MiB");
    if (header.flags != 0 || header.reserved != 0) {
        frames_fail(RTW_STAGE_PROTOCOL, "a frame's flags or reserved bits are not 0");
    }
    return sizeof header + header.length;
}

static void handle_all(void (*handle)(const rtw_frame *header, const uint8_t *payload)) {
    for (size_t size = next_size(); size <= end - start; size = next_size()) {
        rtw_frame header;
        memcpy(&header, input + start, sizeof header);
        handle(&header, input + start + sizeof header);
        explicit_bzero(input + start, size);
        start += size;
    }
}

/* Writes what there is to write. While the daemon does not read it, what the daemon says is still listened to. */
static void await_input(void) {
    struct pollfd entry = {.fd = RTW_FD_FRAMES, .events = POLLIN | POLLOUT};
    do {
        if (write_without_waiting()) return;
    } while (poll(&entry, 1, -1) < 0 || (entry.revents & POLLIN) == 0);
}

static void receive(void) {
    size_t size = next_size();
    if (start == end || start + size > capacity) make_room(size);
    ssize_t count = recv(RTW_FD_FRAMES, input + end, capacity - end, 0);
    if (count > 0) {
        end += (size_t)count;
    } else if (count == 0) {
        _exit(EX_OK); /* the daemon is gone: nobody is there to answer */
    } else if (errno != EINTR) {
        _exit(EX_SOFTWARE);
    }
}

_Noreturn void frames_run(void (*handle)(const rtw_frame *header, const uint8_t *payload)) {
    is_main_thread = 1;
    start_sending_late();
    for (;;) {
        await_input();
        receive();
        handle_all(handle);
    }
}
