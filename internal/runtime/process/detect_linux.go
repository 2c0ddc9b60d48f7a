package process

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Describe tells how the processes of an instance would be kept together on
// this machine. It changes nothing.
func Describe() Support {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return Support{Mode: ModeNone, Reason: fmt.Sprintf("cannot read the mount table: %v", err)}
	}
	own, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return Support{Mode: ModeNone, Reason: fmt.Sprintf("cannot read creel's own cgroups: %v", err)}
	}
	return detect(hierarchies(mounts, own), usable)
}

// describeParent is Describe for a cgroup that the configuration names.
func describeParent(dir string) (Support, error) {
	if dir == NoCgroup {
		return Support{Mode: ModeNone, Reason: "so configured"}, nil
	}
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		return Support{}, fmt.Errorf("cannot use %s as the parent of cgroups: %w", dir, err)
	}
	s := Support{Path: filepath.Clean(dir), Reason: "so configured"}
	switch int64(fs.Type) {
	case unix.CGROUP2_SUPER_MAGIC:
		s.Mode = ModeV2
	case unix.CGROUP_SUPER_MAGIC:
		s.Mode = ModeV1
	default:
		return Support{}, fmt.Errorf("cannot use %s as the parent of cgroups: it is in no cgroup hierarchy", dir)
	}
	if err := usable(dir); err != nil {
		return Support{}, fmt.Errorf("cannot use %s as the parent of cgroups: %w", dir, err)
	}
	return s, nil
}

// hierarchy is a mounted cgroup hierarchy that can hold instances.
type hierarchy struct {
	mode string
	name string   // "unified" (v2), "freezer", "systemd" or "pids"
	dirs []string // where to try, best first: creel's own cgroup, then the top
}

// v1Names are the v1 hierarchies that serve, best first: only the freezer can
// hold processes still while they are killed; the other two limit nothing as
// long as no limit is written.
var v1Names = []string{"freezer", "systemd", "pids"}

// hierarchies reads the tables of /proc/self/mountinfo (proc_pid_mountinfo(5))
// and /proc/self/cgroup (cgroups(7)). v2 comes first, be it mounted alone or
// beside v1.
func hierarchies(mountinfo, cgroup []byte) []hierarchy {
	var found []hierarchy
	for _, m := range cgroupMounts(mountinfo) {
		h := hierarchy{mode: ModeV2, name: "unified"}
		if !m.v2 {
			i := slices.IndexFunc(v1Names, m.has)
			if i < 0 {
				continue
			}
			h.mode, h.name = ModeV1, v1Names[i]
		}
		h.dirs = m.dirs(cgroup, h.name)
		found = append(found, h)
	}
	rank := func(h hierarchy) int { return slices.Index(append([]string{"unified"}, v1Names...), h.name) }
	slices.SortStableFunc(found, func(a, b hierarchy) int { return rank(a) - rank(b) })
	return found
}

// cgroupMount is a line of mountinfo that mounts a cgroup hierarchy.
type cgroupMount struct {
	v2      bool
	root    string   // cgroup that is the top of the mount
	mount   string   // where
	options []string // v1: the controllers, or name=…
}

func (m cgroupMount) has(name string) bool {
	return !m.v2 && (slices.Contains(m.options, name) || slices.Contains(m.options, "name="+name))
}

// dirs lists where to make cgroups, best first: in creel's own cgroup, then at
// the top. name is that of the hierarchy, as ownCgroup takes it.
func (m cgroupMount) dirs(cgroup []byte, name string) []string {
	// With a cgroup namespace or a bind mount the top of the mount is not the
	// top of the hierarchy; what is not beneath it cannot be reached.
	if rel, ok := beneath(ownCgroup(cgroup, name), m.root); ok && rel != "." {
		return []string{filepath.Join(m.mount, rel), m.mount}
	}
	return []string{m.mount}
}

func cgroupMounts(mountinfo []byte) []cgroupMount {
	var found []cgroupMount
	for line := range strings.Lines(string(mountinfo)) {
		fields := strings.Fields(line)
		sep := slices.Index(fields, "-")
		if sep < 6 || len(fields) < sep+4 {
			continue
		}
		if kind := fields[sep+1]; kind == "cgroup" || kind == "cgroup2" {
			found = append(found, cgroupMount{
				v2: kind == "cgroup2", root: unescape(fields[3]), mount: unescape(fields[4]),
				options: strings.Split(fields[sep+3], ","),
			})
		}
	}
	return found
}

// ownCgroup is the path of creel's own cgroup in a hierarchy, or "".
func ownCgroup(cgroup []byte, name string) string {
	for line := range strings.Lines(string(cgroup)) {
		id, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ":")
		controllers, path, ok := strings.Cut(rest, ":")
		if !ok {
			continue
		}
		names := strings.Split(controllers, ",")
		if (name == "unified" && id == "0" && controllers == "") ||
			slices.Contains(names, name) || slices.Contains(names, "name="+name) {
			return path
		}
	}
	return ""
}

// beneath gives path relative to root if it is beneath it.
func beneath(path, root string) (string, bool) {
	if path == "" || strings.HasPrefix(path, "/..") {
		return "", false // outside of our cgroup namespace
	}
	rel, err := filepath.Rel(root, path)
	if err != nil || rel == ".." || strings.HasPrefix(rel, "../") {
		return "", false
	}
	return rel, true
}

// unescape undoes the octal escapes of mountinfo.
func unescape(s string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}

// detect takes the first hierarchy that is usable.
func detect(all []hierarchy, usable func(dir string) error) Support {
	var reasons []string
	for _, h := range all {
		for _, dir := range h.dirs {
			err := usable(dir)
			if err == nil {
				s := Support{Mode: h.mode, Path: dir, Reason: fmt.Sprintf("the cgroup %s hierarchy (%s) is writable", h.mode, h.name)}
				if len(reasons) > 0 {
					s.Reason += "; before it: " + strings.Join(reasons, "; ")
				}
				return s
			}
			reasons = append(reasons, err.Error())
		}
	}
	if len(reasons) == 0 {
		reasons = []string{"no cgroup hierarchy is mounted"}
	}
	return Support{Mode: ModeNone, Reason: strings.Join(reasons, "; ")}
}

// usable reports whether cgroups can be made in dir and processes be moved into
// them. For the latter the kernel asks for write access to the cgroup.procs of
// the common ancestor (cgroups v2, "Delegation Containment").
func usable(dir string) error {
	for _, path := range []string{dir, filepath.Join(dir, "cgroup.procs")} {
		if err := unix.Faccessat(unix.AT_FDCWD, path, unix.W_OK, unix.AT_EACCESS); err != nil {
			return fmt.Errorf("%s is not writable (%w)", path, err)
		}
	}
	// A cgroup beneath a threaded one cannot hold whole processes.
	if kind, err := os.ReadFile(filepath.Join(dir, "cgroup.type")); err == nil {
		if k := strings.TrimSpace(string(kind)); k != "domain" {
			return fmt.Errorf("%s is a cgroup of type %q", dir, k)
		}
	}
	return nil
}
