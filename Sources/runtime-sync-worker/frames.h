/*
 * frames.h: the stream to the daemon. The main thread reads and hands out; any thread sends.
 *
 * The main thread never waits for the daemon to read: else both could wait for each other. What it sends while it works
 * through a batch of frames leaves with one write at the batch's end.
 */
#ifndef FRAMES_H
#define FRAMES_H

#include <stddef.h>
#include <stdint.h>

#include "runtime_sync.h"
#include "worker_protocol.h"

/* The payload of a frame to the daemon: numbers, then texts. */
typedef struct frame_content {
    const uint32_t *numbers;
    size_t number_count;
    const rts_bytes *texts;
    size_t text_count;
} frame_content;

/* Sends a frame; `content` is copied, NULL means empty. From any thread; other than the main thread waits while more
 * than 1 MiB has not been read by the daemon. Ends the process if the daemon is gone. */
void frames_send(rtw_type type, uint64_t id, const frame_content *content);

/* The same for one frame of many: while `others` like it are expected, it leaves together with a third as many, or after
 * 2 to 4 ms. Each write wakes the daemon, whether it brings one answer or twenty. From any thread. */
void frames_gather(rtw_type type, uint64_t id, const frame_content *content, uint32_t others);

/* What this thread sends from here on waits for frames_end_batch, unless it becomes much. */
void frames_begin_batch(void);
void frames_end_batch(void);

/* Reads frames until the daemon closes its end, which ends the process. `handle` gets each one that is well-formed by
 * itself; its bytes are wiped when it returns. Main thread. */
_Noreturn void frames_run(void (*handle)(const rtw_frame *header, const uint8_t *payload));

/* Says why this worker cannot go on, and ends it. Main thread. */
_Noreturn void frames_fail(rtw_stage stage, const char *why);

/* Sends what is left and ends the process. Main thread. */
_Noreturn void frames_finish(int status);

#endif
