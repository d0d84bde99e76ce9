import fs from 'node:fs/promises';
import { securityHeaders } from '../core/control/browser-host/content-security.ts';
import { findStaticFile } from '../core/control/browser-host/static-files.ts';
import type { PrivilegedScheme } from './adapter.ts';
import { appScheme, isAppAddress } from './app-address.ts';

/** `app://` behaves as a secure origin of its own: relative addresses, storage and the content policy work. */
export const privilegedAppScheme: PrivilegedScheme = {
  scheme: appScheme,
  privileges: { standard: true, secure: true, supportFetchAPI: true, codeCache: true },
};

/**
 * Answers `app://console/…` with the built renderer's files, the same ones and with the same headers as
 * the browser host; everything else is refused.
 */
export function appProtocolHandler(directory: string): (request: Request) => Promise<Response> {
  return async (request) => {
    const refuse = (status: number) => new Response(null, { status, headers: { ...securityHeaders } });
    if (!isAppAddress(request.url)) return refuse(403);
    if (request.method !== 'GET' && request.method !== 'HEAD') return refuse(405);
    const file = await findStaticFile(directory, new URL(request.url).pathname);
    if (!file) return refuse(404);
    const body = request.method === 'HEAD' ? null : await fs.readFile(file.path);
    return new Response(body, {
      status: 200,
      headers: {
        ...securityHeaders,
        'Content-Type': file.mediaType,
        'Content-Length': String(file.bytes),
        'Cache-Control': 'no-store',
      },
    });
  };
}
