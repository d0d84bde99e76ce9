import './zod-without-eval.ts';
import '@fontsource-variable/inter/wght.css';
import '@fontsource/jetbrains-mono/400.css';
import '@xyflow/react/dist/base.css';
import './style/sheets.ts';
import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import { App } from './App.tsx';
import { startConsole } from './store/console-store.ts';
import { startTheme } from './theme.ts';

startTheme();
startConsole();
createRoot(document.getElementById('root')!).render(
  <StrictMode>
    <App />
  </StrictMode>,
);
