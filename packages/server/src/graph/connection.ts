import type { Api } from './api.ts'

/** What the server sees of whoever asks: by it, somebody behind proxies finds out whether they are believed. */
export function registerConnection({ origin, route }: Api): void {
  route(
    'GET',
    '/caegis/connection',
    { does: 'Shows where the server takes the caller to be, and through whom it asks', needs: ['Organization.Read.All'] },
    async ({ address }, request) => ({
      '@odata.context': `${origin}/v1.0/$metadata#caegis/connection`,
      ...{ address, peer: (request.socket.remoteAddress ?? '').replace(/^::ffff:/, '') },
      forwarded: request.headers['x-forwarded-for'] !== undefined,
    }),
  )
}
