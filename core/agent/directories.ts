import { mkdir } from 'node:fs/promises';

/** Where an agent keeps what lasts, what does not, and where its software is. */
export interface AgentDirectories {
  /** Survives a restart of the host: key, configuration, moves, pods. */
  state: string;
  /** Gone with the host's memory: sockets, images on their way. */
  run: string;
  /** Read-only: Node, images, criu, gateway. */
  software: string;
}

export const standardDirectories: AgentDirectories = {
  state: '/var/lib/move',
  run: '/run/move',
  software: '/opt/move',
};

/** Makes the directories that the agent writes to, readable by nobody else. */
export async function makeDirectories(directories: AgentDirectories): Promise<void> {
  await mkdir(directories.state, { recursive: true, mode: 0o700 });
  await mkdir(directories.run, { recursive: true, mode: 0o700 });
}
