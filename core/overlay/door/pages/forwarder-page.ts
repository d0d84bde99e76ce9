import { doorPaths } from '../door-paths.ts';
import { html } from './html.ts';
import { type RenderedPage, renderPage } from './layout.ts';

export interface ForwarderPackage {
  /** The visitor's own certificate; null for somebody who holds one already. */
  pkcs12: { fileName: string; base64: string; password: string } | null;
  trustPem: string;
  /** `host:port` of every access point that the certificate is good at. */
  accessPoints: readonly string[];
  /** What to type, in the directory of the files. */
  command: string;
  /** Whether this host has the program to give away. */
  hasProgram: boolean;
  /** Milliseconds since the epoch. */
  until: number;
}

/** Everything that the forwarder needs, in one page that is never shown again. */
export function forwarderPage(given: ForwarderPackage): RenderedPage {
  const { pkcs12 } = given;
  const trust = `data:application/x-pem-file;base64,${Buffer.from(given.trustPem).toString('base64')}`;
  return renderPage({
    status: 200,
    title: 'The forwarder',
    body: html`${
      pkcs12
        ? html`<section aria-labelledby="certificate"><h2 id="certificate">Your certificate</h2>
<p><a class="button" download="${pkcs12.fileName}" href="data:application/x-pkcs12;base64,${pkcs12.base64}">Save ${pkcs12.fileName}</a></p>
<p>Its password, shown here once:</p><pre id="password">${pkcs12.password}</pre>
<p class="second">It is good at this access point only, from your present address, until ${new Date(given.until).toISOString().replace('T', ' ').slice(0, 16)} UTC.</p></section>`
        : html`<section><p class="mark good">You hold a certificate already. Use its PKCS#12 file.</p></section>`
    }
<section aria-labelledby="program"><h2 id="program">The program</h2>
${given.hasProgram ? html`<p><a class="button plain" download="move.mjs" href="${doorPaths.program}">Save move.mjs</a></p><p class="second">One file, for Node.js 24 or newer. Where MOVE Console is installed, <code>move</code> is the same program.</p>` : html`<p>It is the command <code>move</code> of MOVE Console; ask the administrator where to get it.</p>`}
<p><a class="button plain" download="trust.pem" href="${trust}">Save trust.pem</a></p>
<p class="second">The authority that the access point is known by.</p></section>
<section aria-labelledby="run"><h2 id="run">Run it</h2>
<p>In the directory of these files; it asks for the password:</p>
<pre id="command">${given.command}</pre>
<p>Then set <code>127.0.0.1:8080</code> as the HTTP proxy of your program.</p>
<h2>Access points</h2>
<pre>${given.accessPoints.join('\n')}</pre></section>
<p><a href="${doorPaths.portal}">Back</a></p>`,
  });
}
