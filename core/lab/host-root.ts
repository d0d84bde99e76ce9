import path from 'node:path';

/** Where the lab keeps its own things: on the tmpfs /run that only its namespaces see. */
export const labRun = '/run/lab';

/** How this machine offers the freezer: as a version 1 hierarchy, or in the one of version 2. */
export interface FreezerTree {
  version: 1 | 2;
  /** The directory of this lab's hosts, as the machine sees it. */
  directory: string;
}

export interface RootParts {
  /** The Node 24 binary that hosts run. */
  node: string;
  /** The bundles, or null before they are built. */
  dist: string | null;
  /** The cache that set-up filled. */
  cache: string;
}

const quote = (text: string) => `'${text.replaceAll("'", "'\\''")}'`;

/**
 * The shell script that assembles the root file system that all hosts share: the machine's own /usr and
 * /etc read-only, devices of their own, and the product in /opt/move. Run once, in the lab's mount namespace.
 */
export function sharedRootScript({ node, dist, cache }: RootParts): string {
  const bind = (source: string, target: string) =>
    `if [ -e ${quote(source)} ]; then mount --bind ${quote(source)} ${target}; mount -o remount,bind,ro ${target}; fi`;
  return `set -e
umask 022
R=${labRun}/root
mkdir -p $R ${labRun}/etc/upper ${labRun}/etc/work ${labRun}/etc/merged ${labRun}/hosts
mount -t tmpfs -o mode=755,size=8m lab-root $R
cd $R
mkdir usr etc dev proc sys run tmp var srv opt root home mnt media
mkdir -p var/lib/move var/cache opt/move/bin opt/move/dist opt/move/images opt/move/criu opt/move/native opt/move/lib
ln -s /run var/run; ln -s /run/lock var/lock; ln -s /tmp var/tmp; ln -s /run/log var/log
for name in bin sbin lib lib32 lib64 libx32; do
  if [ -L /$name ]; then cp -a /$name $name
  elif [ -d /$name ]; then mkdir $name; mount --bind /$name $name; mount -o remount,bind,ro $name; fi
done
${bind('/usr', 'usr')}
mount -t overlay -o lowerdir=/etc,upperdir=${labRun}/etc/upper,workdir=${labRun}/etc/work lab-etc ${labRun}/etc/merged
mkdir -p ${labRun}/etc/merged/move
rm -f ${labRun}/etc/merged/resolv.conf; : > ${labRun}/etc/merged/resolv.conf
cp -r ${labRun}/etc-files/. ${labRun}/etc/merged/
mount --bind ${labRun}/etc/merged etc; mount -o remount,bind,ro etc
mount -t tmpfs -o mode=755,size=1m,nosuid lab-dev dev
mkdir dev/pts dev/shm dev/net
mknod -m 666 dev/null c 1 3; mknod -m 666 dev/zero c 1 5; mknod -m 666 dev/full c 1 7
mknod -m 666 dev/random c 1 8; mknod -m 666 dev/urandom c 1 9; mknod -m 666 dev/tty c 5 0
mknod -m 666 dev/fuse c 10 229; mknod -m 666 dev/net/tun c 10 200
ln -s pts/ptmx dev/ptmx; ln -s /proc/self/fd dev/fd
ln -s /proc/self/fd/0 dev/stdin; ln -s /proc/self/fd/1 dev/stdout; ln -s /proc/self/fd/2 dev/stderr
: > opt/move/bin/node
${bind(node, 'opt/move/bin/node')}
printf '#!/bin/sh\\nexec /opt/move/bin/node /opt/move/dist/cli.mjs "$@"\\n' > opt/move/bin/move
chmod 755 opt/move/bin/move
ln -s ../native/gateway opt/move/bin/gateway
ln -s ../criu/bin/criu opt/move/bin/criu
ln -s ../native/norlimit-shim.so opt/move/lib/norlimit-shim.so
${dist ? bind(dist, 'opt/move/dist') : ':'}
${['images', 'criu', 'native'].map((name) => bind(path.join(cache, name), `opt/move/${name}`)).join('\n')}
mount -o remount,ro $R
`;
}

/** A control group of the lab's beside its freezer's: one of a resource that pods are bounded by. */
export interface ResourceTree {
  /** As the controller is called. */
  name: string;
  directory: string;
}

/** The mounts that each host has for itself, over the shared root, as an fstab. */
export function hostFstab(
  host: string,
  freezer: FreezerTree,
  resources: readonly ResourceTree[] = [],
): string {
  const root = `${labRun}/root`;
  const own = `${labRun}/hosts/${host}`;
  const cgroup = path.join(freezer.directory, host);
  const cgroupLines =
    freezer.version === 1
      ? [
          `cgroup ${root}/sys/fs/cgroup tmpfs mode=755,size=1m 0 0`,
          `${cgroup} ${root}/sys/fs/cgroup/freezer none bind,x-mount.mkdir 0 0`,
          ...resources.map(
            ({ name, directory }) =>
              `${path.join(directory, host)} ${root}/sys/fs/cgroup/${name} none bind,x-mount.mkdir 0 0`,
          ),
        ]
      : [`${cgroup} ${root}/sys/fs/cgroup none bind 0 0`];
  return [
    `${own}/state ${root}/var/lib/move none bind 0 0`,
    `${own}/srv ${root}/srv none bind 0 0`,
    `${own}/root ${root}/root none bind 0 0`,
    `run ${root}/run tmpfs mode=755,nosuid 0 0`,
    `tmp ${root}/tmp tmpfs mode=1777 0 0`,
    `shm ${root}/dev/shm tmpfs mode=1777 0 0`,
    `devpts ${root}/dev/pts devpts newinstance,ptmxmode=0666,mode=620,gid=5 0 0`,
    `proc ${root}/proc proc defaults 0 0`,
    `sysfs ${root}/sys sysfs defaults 0 0`,
    ...cgroupLines,
    '',
  ].join('\n');
}

/**
 * The script that turns a process in fresh namespaces into a host: its mounts, its root, its name, then
 * tini as the first process with the boot script below it.
 */
export const enterHostScript = `set -e
umask 022
host=$1
hostname "$host"
mount -a -T ${labRun}/hosts/$host/fstab
cd ${labRun}/root
mkdir -p run/sshd run/netns run/lock run/log run/move
mkdir -m 700 run/move/stones
pivot_root . mnt
cd /
umount -l /mnt
export HOME=/root PATH=/opt/move/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
exec tini -- sh /etc/move/boot "$host"
`;

/** What each host starts with: its sshd, and on a stone the connection that it keeps open. */
export const bootScript = `# started by the lab as the one service of this host
host=$1
keep() { while :; do "$@"; sleep 0.3; done; }
keep /usr/sbin/sshd -D -e -f /etc/move/sshd/$host &
if [ -f /etc/move/rendezvous/$host ]; then
  keep ssh -F /etc/move/rendezvous/$host -N -T rendezvous &
fi
wait
`;
