# Makes the system that this runs in (chroot) one without systemd. $1: sysv or openrc.
export DEBIAN_FRONTEND=noninteractive LC_ALL=C
printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
chmod 0755 /usr/sbin/policy-rc.d
apt-get -q update
# One after the other: the running init has a successor before it goes.
apt-get -q -y --no-install-recommends install sysvinit-core
apt-get -q -y purge systemd
if [ "$1" = openrc ]; then apt-get -q -y --no-install-recommends install openrc; fi
rm -rf /usr/sbin/policy-rc.d /var/cache/apt/archives/*.deb /var/lib/apt/lists/*

# systemd-nspawn has mounted /sys with its control groups, and lets nobody raise a limit.
rm -f /etc/rcS.d/S*mountkernfs.sh
echo 'none /sys/fs/cgroup cgroup noauto 0 0' >>/etc/fstab
sed -i 's/^\(\s*\)ulimit .*/\1:/' /etc/init.d/docker
# There is no console for them.
sed -i '/respawn:\/sbin\/getty/d' /etc/inittab
