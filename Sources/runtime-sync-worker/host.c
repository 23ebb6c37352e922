#define _GNU_SOURCE
#include "host.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "frames.h"
#include "requests.h"

/* Words for people are cut to size by the daemon, which first looks for passwords in them: of one that stands across the
 * cut, the end must be there to be known. It looks so far beyond the cut. */
#define LOOK (64u << 10)
#define DETAIL_MAX (1024u + LOOK)
#define LINE_MAX (4096u + LOOK)
#define NAME_MAX 64u
#define ACCOUNT_MAX 4096u
#define RECORD_MAX (RTW_MAX_PAYLOAD - (128u << 10)) /* leaves room for all the others */

static uint64_t milliseconds(void *context) {
    (void)context;
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000 + (uint64_t)time.tv_nsec / 1000000;
}

/* At most `limit` bytes of a text, without cutting through a character. */
static rts_bytes shortened(rts_bytes text, size_t limit) {
    if (!text.data || text.size <= limit) return text;
    while (limit > 0 && (text.data[limit] & 0xc0) == 0x80) limit--;
    return (rts_bytes){text.data, limit};
}

static rts_bytes bytes_of(const char *text) {
    return (rts_bytes){(const uint8_t *)text, strlen(text)};
}

/* -- log -------------------------------------------------------------------------------------------------------- */

/* A bucket that holds one second's lines and refills steadily; counted in thousandths of a line. */
static pthread_mutex_t bucket_lock = PTHREAD_MUTEX_INITIALIZER;
static uint64_t lines_per_second = 100;
static uint64_t bucket = 100 * 1000;
static uint64_t filled_at;
static uint64_t dropped;

void host_limit_log(uint32_t lines) {
    pthread_mutex_lock(&bucket_lock);
    lines_per_second = lines;
    bucket = lines_per_second * 1000;
    filled_at = milliseconds(NULL);
    pthread_mutex_unlock(&bucket_lock);
}

/* Takes a line's worth. Returns whether it was there; `*told` is how many lines were dropped before. */
static int take_line(uint64_t *told) {
    pthread_mutex_lock(&bucket_lock);
    uint64_t now = milliseconds(NULL);
    uint64_t full = lines_per_second * 1000;
    uint64_t elapsed = now - filled_at;
    filled_at = now;
    bucket = elapsed >= 1000 || bucket + elapsed * lines_per_second > full ? full : bucket + elapsed * lines_per_second;
    int taken = bucket >= 1000;
    *told = 0;
    if (taken) {
        bucket -= 1000;
        *told = dropped;
        dropped = 0;
    } else {
        dropped++;
    }
    pthread_mutex_unlock(&bucket_lock);
    return taken;
}

static void send_line(uint32_t level, rts_bytes message) {
    frames_send(RTW_LOG, 0, &(frame_content){&level, 1, &message, 1});
}

static void tell(uint64_t lines) {
    if (lines == 0) return;
    char text[96];
    snprintf(text, sizeof text, "%llu log lines were dropped: more came than are taken a second",
             (unsigned long long)lines);
    send_line(RTS_LOG_WARNING, bytes_of(text));
}

void host_tell_dropped(void) {
    pthread_mutex_lock(&bucket_lock);
    uint64_t lines = dropped;
    dropped = 0;
    pthread_mutex_unlock(&bucket_lock);
    tell(lines);
}

static void log_line(void *context, uint32_t level, rts_bytes message) {
    (void)context;
    uint64_t dropped_before;
    if (!message.data || !take_line(&dropped_before)) return;
    tell(dropped_before);
    send_line(level <= RTS_LOG_ERROR ? level : RTS_LOG_ERROR, shortened(message, LINE_MAX));
}

/* -- metric ------------------------------------------------------------------------------------------------------ */

/* [a-z0-9_]+, of a length that a metric's name may have; anything else is not counted. */
static int is_name(rts_bytes name) {
    if (!name.data || name.size == 0 || name.size > NAME_MAX) return 0;
    for (size_t index = 0; index < name.size; index++) {
        uint8_t byte = name.data[index];
        if ((byte < 'a' || byte > 'z') && (byte < '0' || byte > '9') && byte != '_') return 0;
    }
    return 1;
}

#define COUNTERS_MAX 64u /* the daemon takes no more names */
#define COUNTS_PER_SECOND 1000u

/* What was counted and not told yet. */
static struct counter {
    char name[NAME_MAX];
    size_t size;
    int64_t delta;
} counters[COUNTERS_MAX];
static size_t counter_count;
static pthread_mutex_t counters_lock = PTHREAD_MUTEX_INITIALIZER;
static uint64_t counts_second;
static uint32_t counts_told;              /* in this second */
static _Atomic uint64_t held_back_second; /* the first in which something was held back that is not told yet; or 0 */

static void send_count(rts_bytes name, int64_t delta) {
    uint32_t halves[2];
    memcpy(halves, &delta, sizeof delta);
    frames_send(RTW_METRIC, 0, &(frame_content){halves, 2, &name, 1});
}

static struct counter *counter_named(rts_bytes name) {
    for (size_t index = 0; index < counter_count; index++) {
        struct counter *counter = &counters[index];
        if (counter->size == name.size && memcmp(counter->name, name.data, name.size) == 0) return counter;
    }
    if (counter_count == COUNTERS_MAX) return NULL;
    struct counter *counter = &counters[counter_count++];
    memcpy(counter->name, name.data, name.size);
    counter->size = name.size;
    return counter;
}

/* What a counter has to tell; none that was never named has any. */
static struct counter taken(size_t index) {
    pthread_mutex_lock(&counters_lock);
    struct counter counter = counters[index];
    counters[index].delta = 0;
    pthread_mutex_unlock(&counters_lock);
    return counter;
}

/* Sent without the lock: a plugin's thread may have to wait for the daemon to read, and the main thread never may. */
void host_tell_counts(void) {
    held_back_second = 0; /* first: what is held back from here on may miss its turn below */
    for (size_t index = 0; index < COUNTERS_MAX; index++) {
        struct counter counter = taken(index);
        if (counter.delta != 0) send_count((rts_bytes){(const uint8_t *)counter.name, counter.size}, counter.delta);
    }
}

/* Nothing is held back for longer than its second while the plugin works: pings are for a quiet worker. */
static void tell_late_counts(void) {
    uint64_t second = held_back_second;
    if (second != 0 && second != milliseconds(NULL) / 1000) host_tell_counts();
}

static void metric(void *context, rts_bytes name, int64_t delta) {
    (void)context;
    if (!is_name(name)) return;
    tell_late_counts();
    uint64_t second = milliseconds(NULL) / 1000;
    pthread_mutex_lock(&counters_lock);
    struct counter *counter = counter_named(name);
    if (second != counts_second) counts_told = 0;
    counts_second = second;
    int is_told = counter && counts_told < COUNTS_PER_SECOND;
    if (counter) counter->delta = (int64_t)((uint64_t)counter->delta + (uint64_t)delta);
    if (is_told) {
        counts_told++;
        delta = counter->delta;
        counter->delta = 0;
    } else if (counter && held_back_second == 0) {
        held_back_second = second;
    }
    pthread_mutex_unlock(&counters_lock);
    if (is_told) send_count(name, delta);
}

/* -- complete --------------------------------------------------------------------------------------------------- */

/* What a completion says, in this host's terms: a plugin may know fewer fields or more, and may be wrong. */
static rts_completion understood(const rts_completion *said) {
    rts_completion answer = {.size = sizeof answer, .outcome = RTS_UNKNOWN};
    size_t size = said->size < sizeof answer ? said->size : sizeof answer;
    if (size < offsetof(rts_completion, retry_after_ms)) {
        answer.detail = bytes_of("the plugin's completion has no size");
        return answer;
    }
    memcpy(&answer, said, size);
    if (answer.outcome > RTS_UNKNOWN) {
        answer = (rts_completion){.outcome = RTS_UNKNOWN, .detail = bytes_of("the plugin's outcome is not one")};
    }
    if ((answer.account.data && answer.account.size > ACCOUNT_MAX)
        || (answer.record.data && answer.record.size > RECORD_MAX)) {
        answer = (rts_completion){
            .outcome = RTS_UNKNOWN, .detail = bytes_of("the plugin's account or record is longer than is taken")};
    }
    return answer;
}

static int32_t complete(void *context, uint64_t id, const rts_completion *completion) {
    (void)context;
    uint32_t others;
    if (!completion || requests_end(id, &others) != 0) return -1;
    tell_late_counts();
    rts_completion answer = understood(completion);
    const uint32_t numbers[] = {answer.outcome, answer.retry_after_ms};
    const rts_bytes texts[] = {shortened(answer.detail, DETAIL_MAX), answer.account, answer.record};
    frames_gather(RTW_DONE, id, &(frame_content){numbers, 2, texts, 3}, others);
    return 0;
}

/* -- extensions -------------------------------------------------------------------------------------------------- */

static void begin_batch(void *context) {
    (void)context;
    frames_begin_batch();
}

static void end_batch(void *context) {
    (void)context;
    frames_end_batch();
}

static const void *extension(void *context, const char *id) {
    static const rts_batch batch = {.size = sizeof batch, .begin = begin_batch, .end = end_batch};
    (void)context;
    return id && strcmp(id, RTS_BATCH) == 0 ? &batch : NULL;
}

const rts_host host = {
    .size = sizeof(rts_host), .abi_major = RTS_ABI_MAJOR, .abi_minor = RTS_ABI_MINOR, .context = NULL,
    .complete = complete, .log = log_line, .metric = metric, .now = milliseconds, .extension = extension};
