/*
 * The worker links no Swift: each process holds exactly one Swift runtime, its plugin's own.
 *
 * SwiftPM links C with swiftc, which always adds -lswiftCore. This section is where swift-autolink-extract looks for
 * further linker flags, and it puts them in front of that: a library of which nothing is used is then left out. Together
 * with -nostartfiles in Package.swift, which leaves out swiftrt.o (the use). A toolchain that ignores either links
 * libswiftCore again: slower, not wrong.
 */
__attribute__((used, section(".swift1_autolink_entries"))) static const char flags[] = "-Wl,--as-needed";
