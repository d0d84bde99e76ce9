export const appScheme = 'app';
export const appOrigin = `${appScheme}://console`;
/** The one page of the application. */
export const appPage = `${appOrigin}/`;

/** Whether an address belongs to the application: scheme and host exactly, no user, no port. */
export function isAppAddress(address: string): boolean {
  let url: URL;
  try {
    url = new URL(address);
  } catch {
    return false;
  }
  return (
    url.protocol === `${appScheme}:` && url.host === 'console' && url.username === '' && url.password === ''
  );
}
