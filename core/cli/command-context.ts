import type { CliRooms } from './rooms.ts';

/** Everything outside that a command touches; tests give their own. */
export interface CommandContext {
  /** One JSON document a call on stdout. */
  print(value: unknown): void;
  /** A line for people on stderr. */
  say(line: string): void;
  /** Asks on the terminal without an echo; null where nobody sits at one. */
  askSecret(question: string): Promise<string | null>;
  /** Calls back for every line that is typed; absent where nobody sits at a terminal. */
  onLine?: (listener: () => void) => void;
  environment: NodeJS.ProcessEnv;
  /** The state directory. */
  home: string;
  /** False after `--no-start`. */
  mayStart: boolean;
  /** Fires when the person or a supervisor wants the command to end. */
  signal: AbortSignal;
  /** How this very program is called again, for a control plane in the background. */
  self: readonly string[];
  /** Rooms of core that are loaded when a command needs them. */
  rooms: CliRooms;
}
