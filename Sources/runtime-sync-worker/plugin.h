/* Loads the plugin that descriptor 5 holds. */
#ifndef PLUGIN_H
#define PLUGIN_H

#include "runtime_sync.h"

/* Fills `*plugin` with the plugin's table: what an older plugin does not know is NULL. Returns NULL, or what is wrong
 * with it, valid until the next call. Main thread, once. */
const char *plugin_load(rts_plugin *plugin);

#endif
