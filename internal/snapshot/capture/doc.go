// Package capture copies the state of a gateway as it is at one instant (I5).
//
// # What it guarantees
//
//   - The copy is a consistent cut: every file of every root is as it was at one
//     moment at which nothing that Still holds could write. SQLite databases,
//     their write-ahead logs and the files beside them belong together.
//   - The live state is not touched: nothing is created, locked, renamed or
//     written in a root, and no access time changes where the kernel allows it
//     (O_NOATIME: owner or CAP_FOWNER; reading a symbolic link has no such flag,
//     so relatime may move the link's own).
//   - The gateway is held still only for a look at every file and for reading
//     what has changed since the rounds before. No file is written, hashed or
//     synced while it is held, unless the change is too large for memory.
//     MaxFreeze ends that time whatever happens; then there is no cut.
//   - What is not in the copy is in the report: Skipped by name, Excluded by
//     pattern.
//   - creel killed at any step leaves nothing but files in Options.Dir, which the
//     next capture uses again or removes.
//
// # How
//
// Rounds, as in the live migration of virtual machines: all files are copied
// while the gateway runs, then what has changed meanwhile, and so on until a
// round is short enough for the budget, or stops getting shorter. The last round
// is made with the gateway held still.
//
// A copy is a blob: a file with a number, in Dir/blobs, never written to again.
// Names, modes, owners, attributes and links are in the index, so that whatever
// a state folder holds, a copy needs nothing of the file system of Dir but plain
// files. The blobs of the last capture are the base of the next one.
//
// # When a file counts as unchanged
//
// A blob is taken for the content of a file only if that can be proved. It is
// proved if all of this holds:
//
//   - device, inode, birth time, size, mtime, ctime, mode, owner and number of
//     links are as they were before and after the blob was read. Only the kernel
//     sets ctime; utimensat(2) cannot put it back.
//   - ctime is earlier than the kernel's coarse clock at the beginning of the
//     round that made the blob, in the granularity of the file system. File
//     times are taken from that clock, which advances by ticks (1 to 10 ms): two
//     writes in one tick can leave the same times, and a blob read between them
//     would be of the first. (Git knows this as a "racily clean" entry. Since
//     Linux 6.13 times can be finer, but never earlier than the coarse clock.)
//   - no process had the file in a shared mapping when that round began. A store
//     to a page that is already dirty does not change the times; only the first
//     one, which faults, does. A mapping made later must fault after that moment
//     and so moves ctime past it. That is why mappings need not be looked for
//     again while the gateway is held still.
//   - the file system is one that sets the times at such a fault: ext2 to ext4,
//     XFS, Btrfs, F2FS, ZFS, bcachefs, and overlayfs on these. On others (tmpfs
//     maps pages writable without a fault, network and FUSE file systems change
//     elsewhere) every file is copied while the gateway is held still.
//
// A clock set back by hand, to the nanosecond of an earlier change of the same
// file, would break the proof. So would asynchronous writes that were handed to
// the kernel with O_DIRECT before the freeze and end in it.
//
// Only a tail that was appended is never copied by itself. That the rest of the
// file is unchanged cannot be proved from its metadata, and a write-ahead log
// in particular is overwritten from its start after a checkpoint.
//
// # What is in a cut, and what is not
//
// Files, directories, symbolic links (never followed, dangling or not) and
// FIFOs. Hard links are kept within a root; a link to a file outside it becomes
// a file of its own, and is counted (OutsideLinks). Sockets and devices are
// skipped. What creel may not read is skipped with the reason. So is what its disk
// does not give (EIO, or what a file system says of its own damage), up to mostUnread
// files; the cut then says that it is not whole (Unread). An error of a state folder
// itself ends the capture. A folder that is a mount
// point is saved as an empty folder and skipped: a restore swaps a root by
// rename and could not put it back, so it has to be a root of its own. (A single
// file that is a mount point is saved: it comes back as a plain file.) A root may
// be a symbolic link to a folder. A root that does not exist is an empty state.
// A root within another is refused, and so is one within Dir; the folders in
// Options.Exclude are left out wherever they are found.
//
// # What was rejected
//
//   - SQLite's backup API, a checkpoint, or PRAGMA wal_checkpoint: each takes
//     locks in the live state, knows one database at a time, and nothing of the
//     files beside it.
//   - A snapshot of the block device or the subvolume: needs root and a file
//     system that most people do not have. Where files can be cloned (FICLONE on
//     XFS, Btrfs, bcachefs), large ones are.
//   - Watching for changes with inotify or fanotify in place of looking at every
//     file: queues overflow, mappings are not seen, and 1,000 files take about a
//     millisecond to look at.
//   - Syncing the blobs: they are of no use after a crash of the machine, because
//     the index is dropped when the boot id has changed. So the gateway's own
//     fsync never waits for ours.
package capture
