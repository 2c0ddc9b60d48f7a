package tree

import "testing"

// TestSyncDirThatCannot: a file system that cannot sync folders, as some of the network
// cannot, and as that of processes, is no reason not to restore a state to it.
func TestSyncDirThatCannot(t *testing.T) {
	if err := SyncDir("/proc/self"); err != nil {
		t.Error(err)
	}
	if err := SyncDir("/proc/self/none"); err == nil {
		t.Error("no error for a folder that is not there")
	}
}
