/* The host, as the plugin sees it: what it may call, from any thread. */
#ifndef HOST_H
#define HOST_H

#include "runtime_sync.h"

/* The table for the plugin's entry function. */
extern const rts_host host;

/* Log lines a second, for START; until then a modest default holds. */
void host_limit_log(uint32_t lines_per_second);

/* Says how many log lines were dropped since that was last said, if any. */
void host_tell_dropped(void);

/* Sends what was counted and held back because counts came too fast. */
void host_tell_counts(void);

#endif
