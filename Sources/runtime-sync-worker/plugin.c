#define _GNU_SOURCE
#include "plugin.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "host.h"
#include "worker_protocol.h"

static const char *copied(rts_plugin *plugin, const rts_plugin *table) {
    static char why[96];
    if (table->size < offsetof(rts_plugin, start)) return "the plugin's table has no size";
    if (table->abi_major != RTS_ABI_MAJOR) {
        snprintf(why, sizeof why, "the plugin is built for ABI %u.%u, this host has %u.%u", table->abi_major,
                 table->abi_minor, RTS_ABI_MAJOR, RTS_ABI_MINOR);
        return why;
    }
    memset(plugin, 0, sizeof *plugin);
    memcpy(plugin, table, table->size < sizeof *plugin ? table->size : sizeof *plugin);
    if (!plugin->start || !plugin->deliver || !plugin->stop) return "the plugin lacks start, deliver or stop";
    return NULL;
}

/*
 * NODELETE and no dlclose: Swift's runtime remembers a library's types for ever. No DEEPBIND: it would pass over our
 * open and connect. The descriptor is a sealed copy, so nobody can change the code underneath.
 */
const char *plugin_load(rts_plugin *plugin) {
    char path[32];
    snprintf(path, sizeof path, "/proc/self/fd/%d", RTW_FD_PLUGIN);
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (!library) return dlerror();
    close(RTW_FD_PLUGIN);

    rts_plugin_entry entry = NULL;
    void *symbol = dlsym(library, RTS_ENTRY_NAME);
    if (!symbol) return "the library exports no function " RTS_ENTRY_NAME;
    memcpy(&entry, &symbol, sizeof entry);
    const rts_plugin *table = entry(&host);
    if (!table) return "the plugin refuses this host: " RTS_ENTRY_NAME " returned NULL";
    return copied(plugin, table);
}
