import type { LabHost } from './manifest.ts';

/** The name under which every client of the lab checks the one host key. */
export const hostKeyAlias = 'move-lab';

/** Where the admin host keeps the sockets that the stones' held-open connections listen on. */
export const stoneSocket = (stone: string) => `/run/move/stones/${stone}.sock`;

/**
 * The sshd configuration of one host. A site listens on its secondary address, a stone inside its ISP, so
 * that neither offers an sshd to the world; all also listen on loopback.
 */
export function sshdConfig(host: Pick<LabHost, 'role' | 'addresses'>): string {
  const { secondary, internal, global } = host.addresses;
  const listen =
    host.role === 'admin' ? ['0.0.0.0'] : [secondary ?? internal ?? global ?? '127.0.0.1', '127.0.0.1'];
  return `${listen.map((address) => `ListenAddress ${address}`).join('\n')}
Port 22
HostKey /etc/move/ssh_host_ed25519_key
AuthorizedKeysFile /etc/move/authorized_keys /root/.ssh/authorized_keys
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
UseDNS no
PidFile none
PrintMotd no
PrintLastLog no
LogLevel ERROR
X11Forwarding no
AllowTcpForwarding yes
AllowStreamLocalForwarding yes
StreamLocalBindUnlink yes
StreamLocalBindMask 0177
MaxStartups 200:30:400
MaxSessions 200
LoginGraceTime 20
ClientAliveInterval 2
ClientAliveCountMax 4
SetEnv PATH=/opt/move/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
Subsystem sftp internal-sftp
`;
}

/** How a stone dials out to the admin host and offers its own sshd there. */
export function rendezvousConfig(stone: string, adminAddress: string): string {
  return `Host rendezvous
  HostName ${adminAddress}
  HostKeyAlias ${hostKeyAlias}
  UserKnownHostsFile /etc/move/known_hosts
  GlobalKnownHostsFile /dev/null
  IdentityFile /root/.ssh/id_ed25519
  IdentitiesOnly yes
  User root
  BatchMode yes
  StrictHostKeyChecking yes
  ConnectTimeout 5
  ServerAliveInterval 1
  ServerAliveCountMax 3
  ExitOnForwardFailure yes
  LogLevel ERROR
  RemoteForward ${stoneSocket(stone)} 127.0.0.1:22
`;
}

export interface ClientConfigInput {
  bridgeSocket: string;
  sshKeyPath: string;
  sshConfigPath: string;
  knownHostsPath: string;
  hosts: Record<string, LabHost>;
}

/** An OpenSSH client configuration with which every host of the lab is reached by its name. */
export function clientConfig(input: ClientConfigInput): string {
  const ssh = `ssh -F "${input.sshConfigPath}"`;
  const admin = Object.values(input.hosts).find(({ role }) => role === 'admin')?.name ?? 'admin';
  const routes = Object.values(input.hosts).map((host) => {
    const target = `${host.ssh.address}:${host.ssh.port}`;
    const way =
      host.role === 'admin'
        ? `socat - "UNIX-CONNECT:${input.bridgeSocket}"`
        : host.role === 'stone'
          ? `${ssh} ${admin} socat - UNIX-CONNECT:${stoneSocket(host.name)}`
          : `${ssh} -W ${target} ${host.viaStone ?? admin}`;
    return `Host ${host.name}\n  ProxyCommand ${way}\n`;
  });
  return `${routes.join('')}Host *
  User root
  HostKeyAlias ${hostKeyAlias}
  UserKnownHostsFile "${input.knownHostsPath}"
  GlobalKnownHostsFile /dev/null
  IdentityFile "${input.sshKeyPath}"
  IdentitiesOnly yes
  BatchMode yes
  StrictHostKeyChecking yes
  ConnectTimeout 10
  ServerAliveInterval 5
  ServerAliveCountMax 3
  LogLevel ERROR
`;
}
