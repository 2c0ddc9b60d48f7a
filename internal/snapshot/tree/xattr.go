package tree

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// Names of POSIX ACLs among the extended attributes; see acl(5), xattr(7).
const (
	aclAccess  = "system.posix_acl_access"
	aclDefault = "system.posix_acl_default"
)

// labelOfMachine tells attributes that belong to the machine and not to the
// state: security labels that the policy of another machine gives anew.
func labelOfMachine(name string) bool {
	return name == "security.selinux" || name == "security.ima" || name == "security.evm"
}

// readXattrs gives the extended attributes of what is at path; a link is not
// followed. File systems without them have none.
func readXattrs(path string) (map[string][]byte, error) {
	names, err := sized(func(b []byte) (int, error) { return unix.Llistxattr(path, b) })
	if errors.Is(err, unix.ENOTSUP) || err == nil && len(names) == 0 {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot list the extended attributes of %q: %w", path, err)
	}
	var all map[string][]byte
	for name := range strings.SplitSeq(strings.TrimRight(string(names), "\x00"), "\x00") {
		if labelOfMachine(name) {
			continue
		}
		value, err := sized(func(b []byte) (int, error) { return unix.Lgetxattr(path, name, b) })
		if errors.Is(err, unix.ENODATA) {
			continue // removed meanwhile
		}
		if err != nil {
			return nil, fmt.Errorf("cannot read the extended attribute %q of %q: %w", name, path, err)
		}
		if all == nil {
			all = map[string][]byte{}
		}
		all[name] = value
	}
	return all, nil
}

// sized calls a function that says how much room it needs when it is given none.
func sized(call func([]byte) (int, error)) ([]byte, error) {
	for {
		n, err := call(nil)
		if err != nil || n == 0 {
			return nil, err
		}
		b := make([]byte, n)
		n, err = call(b)
		if errors.Is(err, unix.ERANGE) {
			continue // it has grown meanwhile
		}
		if err != nil {
			return nil, err
		}
		return b[:n], nil
	}
}
