// Package owner settles which of several creels that share a store may run a
// gateway (its part of I1): one at a time, across machines.
//
// Whoever owns a gateway is written in a record at the store (store.Ledger). The
// owner renews it every third of its term; another creel may write itself there
// once it has not seen the record change for a whole term.
//
// # What it guarantees
//
//   - Two creels never hold the lease of a gateway at once. A holder counts its
//     term from before the write that was confirmed, an observer from after the
//     read that first showed the record; and the observer's write succeeds only if
//     the record is still the one it has watched. So the holder's term is over
//     before anyone else's begins, however long a request or its answer was under
//     way. An answer that was lost is found again by the nonce in the record.
//   - A holder that cannot renew stops its gateway before that: Margin ahead of the
//     end of its term, which is the time that a stop takes (Enforce).
//   - No wall clock is compared with another machine's. Terms are counted on each
//     machine's own clock since boot, which goes on while the machine sleeps
//     (CLOCK_BOOTTIME). One hundredth by which two of them differ in rate is
//     allowed for; crystals differ by less than a thousandth of that.
//   - A creel that comes back on the same machine and data folder has its lease at
//     once: it carries on with what it has written down there (Options.Path),
//     without the store, and the record is its own.
//   - The fencing number grows with each change of owner, so that what an earlier
//     one still writes can be told (Confirm).
//   - Everything has an end (I8): requests have deadlines, and a launch that asks
//     for the lease (Demand) gets an answer as soon as one look at the store is over.
//
// # What it refuses
//
//   - To believe that a machine which has been started anew is the one from before:
//     a copy of its disk looks the same. It waits for the term like everybody else.
//     After a shutdown in good order it need not, since the lease was given back.
//   - To overwrite a record that it cannot understand.
//   - A store that does not honour conditional writes (store.UnfitError).
//
// # What it cannot do
//
//   - Stop a gateway whose creel is dead or stopped for longer than the term. The
//     supervisor of creel itself (systemd, a container runtime) has to bring it back;
//     a creel that comes back too late stops the gateway at once.
//   - Stop a gateway whose machine was suspended, before it goes on: that takes until
//     creel has looked at the clock, a second, and the time of a stop. What it saves
//     then bears an old fencing number.
//   - End what the kernel does not let be killed.
//
// # What was rejected
//
//   - A lock of the file system: see store's ledger of a folder.
//   - Expiry times in the record: they compare clocks of two machines.
//   - A short term. It would let another machine take over sooner, but each pause of
//     the store that is longer stops a gateway which has nothing wrong with it.
package owner
