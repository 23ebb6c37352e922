import Testing

/// The real executables, as child processes, with real servers around them. One after the other: each test has several
/// processes of its own, and some of them measure nothing but wait for the disk.
@Suite(.serialized, .timeLimit(.minutes(10))) struct `End to end` {}
