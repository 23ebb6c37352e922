/* A plugin from a future in which the contract has changed. */
#include <stddef.h>

#include "runtime_sync.h"

static const rts_plugin plugin = {.size = sizeof plugin, .abi_major = RTS_ABI_MAJOR + 1, .abi_minor = 7};

RTS_EXPORT const rts_plugin *runtime_sync_plugin(const rts_host *host) {
    return host ? &plugin : NULL;
}
