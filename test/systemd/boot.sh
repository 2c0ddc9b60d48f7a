#!/bin/sh
# Becomes a systemd that has the units of $TEST_DIR/units and nothing else, in
# namespaces of its own: what it mounts, and the cgroups it makes, end with it.
# Arguments: "v2" or "hybrid".
set -e
mount --make-rprivate /
mount -t proc proc /proc
mount --bind /proc/sys /proc/sys
mount -o remount,bind,ro /proc/sys # systemd raises limits of the kernel: not the machine's
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /var/lib
mkdir /var/lib/creel
mount --bind "$TEST_DIR/data" /var/lib/creel
mount -t tmpfs tmpfs /usr/local/bin
printf '#!/bin/sh\nexec "%s" "%s" "$@"\n' "$TEST_BINARY" "$TEST_ROLE" >/usr/local/bin/creel
chmod 755 /usr/local/bin/creel
umount -R /sys/fs/cgroup
case $1 in
v2) mount -t cgroup2 cgroup2 /sys/fs/cgroup ;;
hybrid)
	mount -t tmpfs -o mode=755 cgroup /sys/fs/cgroup
	mkdir /sys/fs/cgroup/systemd /sys/fs/cgroup/unified
	mount -t cgroup -o none,name=systemd,xattr cgroup /sys/fs/cgroup/systemd
	mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified
	;;
esac
export container=creel-test SYSTEMD_UNIT_PATH="$TEST_DIR/units"
exec /lib/systemd/systemd --system --unit=multi-user.target --log-target=console --log-level=info --show-status=no
