/**
 * Puts a text on the clipboard; false when the system did not take it. By a copy event and not by the clipboard's own
 * interface, because that asks for a permission, and Electron's window is given none.
 */
export function copyText(text: string): boolean {
  const put = (event: ClipboardEvent) => {
    event.preventDefault();
    event.clipboardData?.setData('text/plain', text);
  };
  document.addEventListener('copy', put, { once: true });
  try {
    return document.execCommand('copy');
  } finally {
    document.removeEventListener('copy', put);
  }
}
