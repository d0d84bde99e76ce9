import { create } from 'zustand';
import { RemoteError } from '../../core/contract/channel.ts';

export const views = ['map', 'services', 'moves', 'credentials', 'latency', 'drills', 'journal'] as const;
export type View = (typeof views)[number];

export interface Toast {
  id: number;
  tone: 'good' | 'bad';
  message: string;
  code: string | null;
}

/** What stands in front of the view. */
export type Overlay =
  | { kind: 'palette' }
  | { kind: 'shortcuts' }
  | { kind: 'move'; service: string; to: string | null }
  | { kind: 'issue' }
  | { kind: 'revoke'; serial: string }
  | { kind: 'sign' }
  | { kind: 'revoke-visitor'; serial: string }
  | { kind: 'close-test'; service: string }
  | { kind: 'let-in'; service: string }
  | { kind: 'remove-person'; name: string; services: readonly string[] };

/** What the credentials room lists. */
export type CredentialList = 'certificates' | 'visitors';

/** What is pinned on the map. */
export interface MapSelection {
  kind: 'site' | 'node' | 'stone' | 'client';
  id: string;
}

interface UiStore {
  view: View;
  overlay: Overlay | null;
  toasts: Toast[];
  selection: MapSelection | null;
  service: string | null;
  credentialList: CredentialList;
  show(view: View): void;
  list(credentialList: CredentialList): void;
  open(overlay: Overlay | null): void;
  select(selection: MapSelection | null): void;
  chooseService(service: string): void;
  dismiss(id: number): void;
}

const mostToasts = 4;
let nextToast = 1;

export const useUi = create<UiStore>((set) => ({
  view: 'map',
  overlay: null,
  toasts: [],
  selection: null,
  service: null,
  credentialList: 'certificates',
  show: (view) => set({ view, overlay: null }),
  list: (credentialList) => set({ credentialList }),
  open: (overlay) => set({ overlay }),
  select: (selection) => set({ selection }),
  chooseService: (service) => set({ service }),
  dismiss: (id) => set((ui) => ({ toasts: ui.toasts.filter((toast) => toast.id !== id) })),
}));

/** Says something briefly at the window's edge; faults stay until they are dismissed. */
export function say(tone: Toast['tone'], message: string, code: string | null = null): void {
  const id = nextToast++;
  useUi.setState((ui) => ({ toasts: [...ui.toasts, { id, tone, message, code }].slice(-mostToasts) }));
  if (tone === 'good') setTimeout(() => useUi.getState().dismiss(id), 5_000);
}

/** A fault as people are told of it. */
export interface Fault {
  message: string;
  code: string;
}

/** A fault's sentence and its code, never its stack. */
export function faultOf(error: unknown): Fault {
  if (error instanceof RemoteError) return { message: error.message, code: error.code };
  return { message: error instanceof Error ? error.message : String(error), code: 'WINDOW' };
}

/** Shows a fault at the window's edge. */
export function sayError(error: unknown): void {
  const { message, code } = faultOf(error);
  say('bad', message, code);
}
