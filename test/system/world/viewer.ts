import { readFileSync } from 'node:fs';
import path from 'node:path';
import { createInterface } from 'node:readline';
import type { RemoteProgram } from '../../../core/fleet/host-connection.ts';
import type { LabHosts } from './lab-hosts.ts';

const answerLimitMs = 20_000;

/** A VNC viewer on a client host that looks every 10 ms over one connection: see `frame-viewer.ts`. */
export class Viewer {
  readonly #program: RemoteProgram;
  readonly #answers: AsyncIterator<string>;

  private constructor(program: RemoteProgram) {
    this.#program = program;
    this.#answers = createInterface({ input: program.stdout })[Symbol.asyncIterator]();
  }

  /** Connects to a port of the host itself, such as a forwarder's. @throws Error when no picture comes. */
  static async start(hosts: LabHosts, host: string, port: number): Promise<Viewer> {
    const file = `/tmp/frame-viewer-${port}.ts`;
    await hosts.write(host, file, readFileSync(path.join(import.meta.dirname, 'frame-viewer.ts')));
    const viewer = new Viewer(await hosts.start(host, `exec /opt/move/bin/node ${file}`));
    try {
      viewer.#tell({ port });
      await viewer.#hear();
      return viewer;
    } catch (thrown) {
      viewer.stop();
      throw thrown;
    }
  }

  /** The longest time without a picture since a time of that host's clock. @throws Error when its connection has ended. */
  async silence(since: number): Promise<{ from: number; to: number; answers: number }> {
    this.#tell({ since });
    return (await this.#hear()) as { from: number; to: number; answers: number };
  }

  /** Clicks, so that what is typed goes to the window there. */
  click(x: number, y: number): void {
    this.#tell({ click: [x, y] });
  }

  type(text: string): void {
    this.#tell({ type: text });
  }

  stop(): void {
    this.#program.kill();
  }

  #tell(order: object): void {
    this.#program.stdin.write(`${JSON.stringify(order)}\n`);
  }

  async #hear(): Promise<object> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_resolve, reject) => {
      timer = setTimeout(() => reject(new Error('the viewer says nothing')), answerLimitMs);
    });
    try {
      const { value, done } = await Promise.race([this.#answers.next(), late]);
      if (done) throw new Error('the viewer has ended');
      const said = JSON.parse(value) as { error?: string };
      if (said.error !== undefined) throw new Error(`the viewer's connection ended: ${said.error}`);
      return said;
    } finally {
      clearTimeout(timer);
    }
  }
}
