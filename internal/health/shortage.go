package health

import (
	"errors"
	"slices"
	"syscall"
)

// Storage tells whether an error is a disk's that may pass: it is full, over
// quota, read-only or broken.
func Storage(err error) bool {
	return is(err, syscall.ENOSPC, syscall.EDQUOT, syscall.EROFS, syscall.EIO)
}

// NoDescriptors tells whether an error says that this process, or the machine,
// may have no more files open.
func NoDescriptors(err error) bool { return is(err, syscall.EMFILE, syscall.ENFILE) }

// Passing tells whether an error speaks of something that the machine lacks and
// may have again in a moment, so that trying again is right: storage,
// descriptors, memory, processes.
func Passing(err error) bool {
	return Storage(err) || NoDescriptors(err) || is(err, syscall.ENOMEM, syscall.EAGAIN, syscall.ENOBUFS)
}

func is(err error, errnos ...syscall.Errno) bool {
	return slices.ContainsFunc(errnos, func(e syscall.Errno) bool { return errors.Is(err, e) })
}
