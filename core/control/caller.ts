/** Who calls the contract: a window (Electron or browser) or a terminal (the command line, scripts). */
export interface Caller {
  kind: 'window' | 'terminal';
}
