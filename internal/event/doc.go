// Package event is the journal: what happened to a gateway, and why.
//
// Events are appended as JSON lines to files in the data folder (rotated) and
// handed to subscribers. The journal is how a person finds out what creel did;
// creel itself never reads it back to decide anything.
//
// # Order
//
//   - An event gets its sequence number in Record. Numbers grow by one, in the
//     order in which the calls of Record got hold of the journal, and go on
//     across restarts. Events recorded by one goroutine keep its order.
//   - Memory, files and every subscriber see events in that order, and each at
//     most once.
//   - A number that reached a file is never given out again. Numbers may be
//     missing from the files (events that could not be written); after a
//     damaged file the next numbers leave a gap wide enough for what may have
//     stood in it. A number that only memory knew when creel died is used again.
//
// # Back-pressure
//
//   - Record waits for nobody: not for the disk, not for subscribers. It costs
//     the redaction of the event and a short lock.
//   - The last Memory events are kept in a ring. The writer and every
//     subscriber have a place of their own in it and take events at their own
//     pace.
//   - If the ring comes round to an event that the disk has not taken yet, that
//     event is lost to the files: the oldest ones go, counted by Lost. Once
//     the disk takes events again, a JournalTrouble event says how many are
//     missing, and which.
//   - If the ring comes round to a subscriber, it catches up from the files. What
//     is not there either is replaced by one Gap event. Nobody else notices.
//
// # What survives
//
//   - Each batch is one write(2) as soon as the writer is free, so what was
//     written survives the death of creel at any instant, by SIGKILL too. An
//     event that was recorded but not yet written then is lost: with a healthy
//     disk that is less than a millisecond's worth.
//   - Files are fsynced within a second of a write, and when they are rotated
//     or closed. A loss of power may take the last second, or cut the last
//     lines short.
//   - What a write cut short is cut off at the next Open, and said so by a
//     JournalTrouble event. A file that is damaged otherwise, or that a newer
//     creel wrote, is renamed (events.jsonl.damaged-1, events.jsonl.newer-1),
//     never deleted, and never keeps creel from starting.
//
// # Files
//
// events.jsonl is written to; full ones are renamed to
// events-<first number>.jsonl, of which the newest Keep are kept, whatever is
// in them. One line is one event, as JSON, with the version of the format in
// "v". A file is private to its owner (0600).
//
// # Refused and rejected
//
//   - Two writers: Open takes a lock on the folder and gives ErrLocked if
//     another process holds it. It takes no lock where the file system knows
//     none.
//   - A database: lines can be read with nothing but a pager, and a torn line
//     is the worst that a crash does to them.
//   - A queue for the writer and one for each subscriber: several buffers with
//     a policy each, in place of one ring with several places in it.
package event
