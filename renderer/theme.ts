import { create } from 'zustand';

export const themeChoices = ['system', 'dark', 'light'] as const;
export type ThemeChoice = (typeof themeChoices)[number];
const key = 'move-console.theme';

function stored(): ThemeChoice {
  const value = window.localStorage.getItem(key);
  return themeChoices.find((choice) => choice === value) ?? 'system';
}

function apply(choice: ThemeChoice): void {
  if (choice === 'system') delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = choice;
}

/** The chosen theme; "system" follows the system's setting. The choice is kept on this machine. */
export const useTheme = create<{ choice: ThemeChoice; choose(choice: ThemeChoice): void }>((set) => ({
  choice: stored(),
  choose(choice) {
    window.localStorage.setItem(key, choice);
    apply(choice);
    set({ choice });
  },
}));

/** Applies the stored choice before the first drawing. */
export function startTheme(): void {
  apply(stored());
}
