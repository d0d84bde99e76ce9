/**
 * What somebody types who wants to keep their key to themselves: makes a P-256 key and a request for a certificate
 * (RFC 2986) by openssl 3. The request goes to the administrator, the key stays. Shown by the terminal and the
 * window, and run by the tests, word for word. `name` is who the certificate shall be for.
 */
export function requestCommand(name: string, file: string): string {
  // In openssl's -subj a slash and a plus part fields, and a backslash guards; in the shell a single quote ends.
  const subject = name.replaceAll(/[\\/+]/g, '\\$&').replaceAll("'", `'\\''`);
  return `openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -utf8 -subj '/CN=${subject}' -keyout ${file}.key.pem -out ${file}.request.pem`;
}
