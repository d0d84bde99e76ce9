import { createHash } from 'node:crypto';
import { Html, html } from './html.ts';

/** The product's look (tokens of the window's own style) in one small sheet, dark, light and with forced colours. */
const style = `
:root{color-scheme:dark;--ground:#0a0d12;--surface:#11161d;--raised:#171d26;--line:#222a35;--edge:#66738a;--text:#e9edf3;--second:#b1bccb;--good:#42cf92;--attack:#ff7070;--decision:#f6b443;--path:#6ba6ff;--on-path:#06152c}
@media (prefers-color-scheme:light){:root{color-scheme:light;--ground:#eef1f5;--surface:#fff;--raised:#f6f8fa;--line:#dbe1e9;--edge:#77859a;--text:#131a24;--second:#3d4958;--good:#0b7a4b;--attack:#b3261e;--decision:#8a5a00;--path:#1a5fcc;--on-path:#fff}}
*{box-sizing:border-box}
body{margin:0;background:var(--ground);color:var(--text);font:16px/1.5 "Inter Variable",system-ui,sans-serif;overflow-wrap:anywhere}
main{max-width:40rem;margin:0 auto;padding:48px 20px}
header{display:flex;gap:12px;align-items:center;color:var(--second);margin-bottom:24px}
header svg{width:28px;height:28px}
h1{font-size:28px;line-height:1.2;font-weight:600;margin:0 0 12px}
h2{font-size:18px;line-height:1.3;font-weight:600;margin:0 0 8px}
p{margin:0 0 12px}
section{background:var(--surface);border:1px solid var(--line);border-radius:8px;padding:20px;margin:0 0 16px}
.second{color:var(--second)}
.mark{display:inline-block;border-left:4px solid var(--edge);padding-left:12px}
.mark.attack{border-color:var(--attack)}.mark.decision{border-color:var(--decision)}.mark.good{border-color:var(--good)}
code,pre{font-family:"JetBrains Mono",ui-monospace,monospace;font-size:14px}
pre{background:var(--raised);border:1px solid var(--line);border-radius:6px;padding:12px;white-space:pre-wrap;margin:0 0 12px}
label{display:block;margin:0 0 4px}
input{font:inherit;color:inherit;background:var(--raised);border:1px solid var(--edge);border-radius:6px;padding:8px 12px;width:100%;max-width:24rem;margin:0 0 12px}
fieldset{border:1px solid var(--line);border-radius:6px;margin:0 0 12px;padding:8px 12px}
select{font:inherit;color:inherit;background:var(--raised);border:1px solid var(--edge);border-radius:6px;padding:8px 12px;margin:0 8px 8px 0}
button,.button{display:inline-block;font:inherit;font-weight:600;color:var(--on-path);background:var(--path);border:1px solid var(--path);border-radius:6px;padding:8px 16px;text-decoration:none;cursor:pointer;min-height:44px}
.plain{color:var(--text);background:transparent;border-color:var(--edge)}
a{color:var(--path)}
a.button{color:var(--on-path)}a.plain{color:var(--text)}
:focus-visible{outline:3px solid var(--decision);outline-offset:2px}
img{display:block;max-width:100%;height:auto;background:#fff;border-radius:6px;margin:0 0 12px}
audio{display:block;width:100%;margin:0 0 12px}
ul{list-style:none;margin:0;padding:0}
li{display:flex;gap:12px;align-items:center;justify-content:space-between;padding:8px 0;border-top:1px solid var(--line)}
li:first-child{border-top:0}
form.inline{display:inline}
.visually-hidden{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
@media (prefers-reduced-motion:no-preference){button,.button{transition:filter 140ms}button:hover,.button:hover{filter:brightness(1.1)}}
@media (forced-colors:active){button,.button{border-color:ButtonText}}
`.replaceAll('\n', '');

const mark = new Html(
  '<svg viewBox="0 0 512 512" aria-hidden="true" focusable="false"><rect width="512" height="512" rx="116" fill="#18202c"/><path d="M178 334C190 214 232 178 320 178" fill="none" stroke="#35c6b6" stroke-width="40" stroke-linecap="round"/><rect x="92" y="276" width="144" height="144" rx="40" fill="#18202c" stroke="#bda2ff" stroke-width="32" stroke-dasharray="74 34"/><rect x="272" y="92" width="156" height="156" rx="44" fill="#42cf92"/></svg>',
);

const hashOf = (text: string) => `'sha256-${createHash('sha256').update(text).digest('base64')}'`;

export interface Page {
  status: number;
  title: string;
  body: Html;
  /** A script that the page needs; every other is refused by the page's policy. */
  script?: string;
}

export interface RenderedPage {
  status: number;
  headers: Record<string, string | number>;
  text: string;
}

/** A whole page with the headers that keep it what it is: nothing of it comes from anywhere else. */
export function renderPage(page: Page, headers: Readonly<Record<string, string>> = {}): RenderedPage {
  const text = html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${page.title} – MOVE</title>
<style>${new Html(style)}</style>
</head>
<body>
<main>
<header>${mark}<span>MOVE access point</span></header>
<h1>${page.title}</h1>
${page.body}
</main>
${page.script === undefined ? null : html`<script>${new Html(page.script)}</script>`}
</body>
</html>
`.text;
  return {
    status: page.status,
    text,
    headers: {
      'content-type': 'text/html; charset=utf-8',
      'content-length': Buffer.byteLength(text),
      'cache-control': 'no-store',
      'content-security-policy': [
        "default-src 'none'",
        `style-src ${hashOf(style)}`,
        `script-src ${page.script === undefined ? "'none'" : hashOf(page.script)}`,
        'img-src data:',
        'media-src data:',
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
      ].join('; '),
      'x-content-type-options': 'nosniff',
      'x-frame-options': 'DENY',
      'referrer-policy': 'same-origin',
      'cross-origin-opener-policy': 'same-origin',
      'cross-origin-resource-policy': 'same-origin',
      'permissions-policy': 'camera=(), microphone=(), geolocation=(), usb=(), serial=(), payment=()',
      ...headers,
    },
  };
}
