// Package restore brings the state folders of one gateway to a snapshot.
//
// A restore is staged: the files are written beside their targets, on the same
// file system, checked, and made durable. That may happen while the gateway
// runs. Then, under the word of the supervisor that nothing runs
// (gateway.Stillness), the new folders take the place of the old ones by rename,
// and the gateway is started on trial. If it gets ready, the restore is
// confirmed; if not, it is undone by the same renames the other way round.
//
// # What it guarantees
//
//   - A state is the old one or the new one, never a mixture (its part of I4),
//     over all roots of the gateway together, whenever creel or the machine dies.
//     A journal (restore.json, written whole and durably) says how far it was
//     before each step that cannot be told from the folders afterwards. Recover,
//     at creel's next start, takes a restore that had not begun to swap back, and
//     one that had, forward; each step finds out whether it was done.
//   - Nothing takes the place of a state that was not found whole: contents are
//     checked by the store as they are read, the list of files against what the
//     snapshot says of itself, each SQLite database by PRAGMA integrity_check.
//   - What is swapped in is on disk before the first rename, folders included;
//     the renames are, before the journal says that they were made.
//   - The old state is not removed but renamed, and kept until a snapshot that
//     was verified since, or for a time (Sweep).
//   - Until the first rename a restore can be called off, and runs out of space,
//     without the state's having been touched.
//   - Where the kernel and the file system can (renameat2, RENAME_EXCHANGE) there
//     is no instant at which a state folder does not exist.
//   - Nothing outside the targets and their siblings is touched, whatever the
//     snapshot says (tree.Write).
//
// # What it refuses
//
//   - To swap without a supervisor's word, or after it was taken back.
//   - To begin while an earlier restore is neither confirmed nor undone.
//   - To do anything at all on the word of a journal that it does not understand
//     (JournalError): it touches nothing and says what to do.
//   - A snapshot whose roots are not those of the gateway (RootsError); targets
//     that lie in each other; and too little space, with numbers (SpaceError).
//   - To guess which of two folders is which. Inode numbers tell it after an
//     exchange; where they have changed meanwhile (some network and FUSE file
//     systems), a person is asked.
//
// # What was rejected
//
//   - Restoring into the live folder, file by file: every crash leaves a mixture.
//   - A symbolic link that is turned over. The path of the state would be a link
//     from the first restore on, to apps that resolve it, to mounts, to people.
//   - A marker file inside the new folder in place of inode numbers. It would have
//     to be removed before the gateway sees it, which changes what was restored.
//   - Undoing on its own account when creel finds a trial after its death. Whether
//     the gateway gets ready is the supervisor's to say; it goes on waiting.
package restore
