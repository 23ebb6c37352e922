/* A C plugin needs no Swift runtime: see Sources/runtime-sync-worker/autolink.c. */
__attribute__((used, section(".swift1_autolink_entries"))) static const char flags[] = "-Wl,--as-needed";
