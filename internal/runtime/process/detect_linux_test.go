package process

import (
	"errors"
	"strings"
	"testing"
)

func TestDetect(t *testing.T) {
	const (
		v2Alone = `24 23 0:22 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot`
		hybrid  = `36 31 0:33 / /sys/fs/cgroup/devices rw - cgroup cgroup rw,devices
37 31 0:34 / /sys/fs/cgroup/freezer rw - cgroup cgroup rw,freezer
39 31 0:36 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids
40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw`
		v1NoFreezer = `39 31 0:36 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids
40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd`
		bind  = `24 23 0:22 /docker/abc /sys/fs/cgroup rw - cgroup2 cgroup rw`
		blank = `24 23 0:22 / /cgroup\040two rw - cgroup2 cgroup rw`
	)
	tests := []struct {
		name, mounts, own string
		unusable          string // directories, blank-separated
		mode, path        string
	}{
		{"systemd service, delegated", v2Alone, "0::/system.slice/creel.service\n", "", ModeV2, "/sys/fs/cgroup/system.slice/creel.service"},
		{"own cgroup not writable, top is", v2Alone, "0::/user.slice/x\n", "/sys/fs/cgroup/user.slice/x", ModeV2, "/sys/fs/cgroup"},
		{"nothing writable", v2Alone, "0::/\n", "/sys/fs/cgroup", ModeNone, ""},
		{"cgroup namespace", v2Alone, "0::/\n", "", ModeV2, "/sys/fs/cgroup"},
		{"outside of the cgroup namespace", v2Alone, "0::/../other\n", "", ModeV2, "/sys/fs/cgroup"},
		{"container without a cgroup namespace", bind, "0::/docker/abc\n", "", ModeV2, "/sys/fs/cgroup"},
		{"nested in that", bind, "0::/docker/abc/creel\n", "", ModeV2, "/sys/fs/cgroup/creel"},
		{"not beneath the mount", bind, "0::/docker/abcd\n", "", ModeV2, "/sys/fs/cgroup"},
		{"hybrid", hybrid, "6:freezer:/\n0::/a\n", "", ModeV2, "/sys/fs/cgroup/unified/a"},
		{"hybrid, v2 not writable", hybrid, "6:freezer:/f\n1:name=systemd:/s\n0::/\n", "/sys/fs/cgroup/unified", ModeV1, "/sys/fs/cgroup/freezer/f"},
		{"hybrid, only pids writable", hybrid, "8:pids:/\n", "/sys/fs/cgroup/unified /sys/fs/cgroup/freezer /sys/fs/cgroup/systemd", ModeV1, "/sys/fs/cgroup/pids"},
		{"systemd's before pids", v1NoFreezer, "1:name=systemd:/s\n8:pids:/p\n", "", ModeV1, "/sys/fs/cgroup/systemd/s"},
		{"blank in the path", blank, "0::/\n", "", ModeV2, "/cgroup two"},
		{"no cgroups", "22 1 0:5 / / rw - ext4 /dev/vda rw", "", "", ModeNone, ""},
		{"garbage", "a b c - cgroup2\n\n- - -", "x\n::\n", "", ModeNone, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := detect(hierarchies([]byte(tt.mounts), []byte(tt.own)), func(dir string) error {
				for _, d := range strings.Fields(tt.unusable) {
					if d == dir {
						return errors.New(dir + " is not writable")
					}
				}
				return nil
			})
			if got.Mode != tt.mode || got.Path != tt.path || got.Reason == "" {
				t.Errorf("got %+v, want %s at %q", got, tt.mode, tt.path)
			}
		})
	}
}

func TestDescribe(t *testing.T) {
	got := Describe()
	if got.Reason == "" || (got.Mode == ModeNone) != (got.Path == "") {
		t.Errorf("%+v", got)
	}
	t.Logf("%+v", got)
}

func TestDescribeParentRefuses(t *testing.T) {
	for _, dir := range []string{t.TempDir(), "/creel/no/such/folder", "/proc"} {
		if s, err := describeParent(dir); err == nil {
			t.Errorf("%s was accepted: %+v", dir, s)
		}
	}
}

func TestOOMFiles(t *testing.T) {
	const (
		v2 = `24 23 0:22 / /cg rw - cgroup2 cgroup2 rw`
		v1 = `35 31 0:32 / /cg/memory rw - cgroup cgroup rw,memory
41 31 0:38 / /cg/unified rw - cgroup2 cgroup2 rw`
	)
	tests := []struct{ name, mounts, own, want string }{
		{"v2", v2, "0::/creel.service/creel/x/g1\n", "/cg/creel.service/creel/x/g1/memory.events /cg/creel.service/creel/x/memory.events /cg/creel.service/creel/memory.events /cg/creel.service/memory.events"},
		{"v2, at the top", v2, "0::/\n", ""},
		{"v1", v1, "4:memory:/m\n0::/\n", "/cg/memory/m/memory.oom_control"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := strings.Join(oomFiles([]byte(tt.mounts), []byte(tt.own)), " "); got != tt.want {
				t.Errorf("got %s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestParseStat(t *testing.T) {
	const rest = " S 7 8 9 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 1 0 4711 1000 10"
	want := procStat{pid: 42, state: 'S', ppid: 7, session: 9, flags: 4194304, startTime: 4711, cpu: 5 + 6 + 7 + 8}
	for _, comm := range []string{"(node)", "()", "(a b)", "(x) S 1 1 1)", "(\n)", "(\xff)"} {
		if got, err := parseStat([]byte("42 " + comm + rest)); err != nil || got != want {
			t.Errorf("%q: %+v, %v", comm, got, err)
		}
	}
	for _, bad := range []string{"", "42", "42 (x", "42 (x) S 7 8", ")(", "x (x)" + rest, "42 (x)" + strings.Replace(rest, "4711", "soon", 1)} {
		if got, err := parseStat([]byte(bad)); err == nil {
			t.Errorf("%q was accepted: %+v", bad, got)
		}
	}
}
