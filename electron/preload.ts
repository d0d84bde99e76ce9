import { contextBridge, ipcRenderer } from 'electron';
import { preloadBridge } from './preload-bridge.ts';

contextBridge.exposeInMainWorld('moveConsole', preloadBridge(ipcRenderer));
