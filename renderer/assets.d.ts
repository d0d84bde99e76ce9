declare module '@fontsource-variable/inter/wght.css';
declare module '@fontsource/jetbrains-mono/400.css';
