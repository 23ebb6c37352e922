/* What the daemon asks, in the order it may ask it, turned into calls of the plugin. */
#ifndef SESSION_H
#define SESSION_H

#include "runtime_sync.h"

/* Serves the daemon until it says STOP or is gone; `file_count` descriptors begin at RTW_FD_FIRST_FILE. Main thread. */
_Noreturn void session_run(const rts_plugin *plugin, uint32_t file_count);

#endif
