import { createPrivateKey } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { isIP } from 'node:net'
import { createGuard } from '@caegis/guard'
import { createGateway } from '@caegis/guard/gateway'
import { CaegisError } from '@caegis/protocol'
import { clientSecretOf } from './client-secret.ts'
import type { GatewayFlags } from './commands/gateway.ts'
import { CLI_ERRORS } from './errors.ts'
import { readRoutesFile } from './routes-file.ts'
import { stopOnSignals } from './stop.ts'
import { trustLocalCa } from './trust.ts'

/** Guards what proxies ask about, until a signal ends it. @throws CaegisError `invalid_gateway`, `invalid_credentials`, `invalid_routes`; TypeError of the guard's options */
export async function runGateway(options: GatewayFlags): Promise<void> {
  const { host, port } = readListen(options)
  const proxies = listOf(options.trustedProxies)
  const origins = listOf(options.origin)
  if (!origins.every((one) => URL.parse(one)?.origin === one)) throw invalid('--origin is scheme, host and port, such as https://api.example')
  const file = options.routes === undefined ? {} : readRoutesFile(options.routes)
  if (options.unavailable !== '503' && options.unavailable !== '401') throw invalid('--unavailable is 503 or 401')
  const key = options.assertionKey === undefined ? {} : { key: createPrivateKey(readFileSync(options.assertionKey)) }
  trustLocalCa(options.data)
  const log = createLog()
  const { CAEGIS_DPOP_NONCE_SECRET: nonceSecret } = process.env
  const guard = createGuard({
    ...{ issuer: options.issuer, audience: options.audience, clientId: options.clientId, clientSecret: readSecret(), trustedProxies: proxies, log },
    ...{ staleness: options.staleness, origin: origins },
    ...(nonceSecret === undefined ? {} : { nonceSecret }),
    ...(options.maxStaleness === undefined ? {} : { maxStaleness: Number(options.maxStaleness) }),
  })
  // A token may be 16 KB, and so may what else a browser sends.
  const server = createServer({ maxHeaderSize: 65_536 })
  // Longer than proxies keep a connection: whoever closes first must not be the one that is asked.
  server.keepAliveTimeout = 75_000
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen({ host, port }, resolve)
  })
  const { address, port: bound, family } = server.address() as { address: string; port: number; family: string }
  const origin = `http://${family === 'IPv6' ? `[${address}]` : address}:${bound}`
  const gateway = createGateway({
    ...{ guard, ...file, trustedProxies: proxies, unavailable: options.unavailable === '401' ? 401 : 503, log },
    metrics: options.metrics === true,
    assertion: { issuer: options.assertionIssuer ?? origin, audience: options.assertionAudience ?? options.audience, ...key },
  })
  server.on('request', gateway.handle)
  stopOnSignals(async () => {
    server.close()
    server.closeIdleConnections()
    await guard.close()
  })
  const say = (event: string, text: string) => process.stdout.write(options.json ? `${JSON.stringify({ event, listen: origin })}\n` : `${text}\n`)
  say('listening', `Listening on ${origin}`)
  if (proxies.length === 0) log.warn('no --trusted-proxies: the addresses of callers are unknown, and outside of every location')
  guard.ready().then(
    () => say('ready', `Following ${options.issuer}`),
    (error: unknown) => log.error('the guard is not ready', { error: String(error) }),
  )
}

function readListen({ listen, allowRemote, trustedProxies }: GatewayFlags): { host: string; port: number } {
  const [, host = '', digits = ''] = /^(\[[0-9a-fA-F:.]+\]|[^:]+):(\d{1,5})$/.exec(listen) ?? []
  const bare = host.replace(/^\[|\]$/g, '')
  if (host === '' || Number(digits) > 65_535) throw invalid('--listen is an address and a port, such as 127.0.0.1:9000')
  const local = bare === 'localhost' || bare === '::1' || (isIP(bare) === 4 && bare.startsWith('127.'))
  if (!local && !allowRemote) throw invalid(`${bare} can be reached from other machines, without TLS: --allow-remote if that is meant`)
  if (!local && trustedProxies === undefined) throw invalid('--allow-remote needs --trusted-proxies: only they may ask')
  return { host: bare, port: Number(digits) }
}

function listOf(text: string | undefined): string[] {
  return text?.split(',').map((one) => one.trim()) ?? []
}

function readSecret(): string {
  const secret = clientSecretOf(process.env)
  if (secret === undefined) throw invalid("The API's secret is missing: set CAEGIS_CLIENT_SECRET or CAEGIS_CLIENT_SECRET_FILE")
  return secret
}

function invalid(text: string): CaegisError {
  return new CaegisError('invalid_gateway', `${CLI_ERRORS.invalid_gateway} ${text}.`)
}

/** Lines of JSON on standard error. */
function createLog() {
  const write =
    (level: string) =>
    (message: string, fields: Record<string, unknown> = {}) =>
      void process.stderr.write(`${JSON.stringify({ time: new Date().toISOString(), level, message, ...fields })}\n`)
  return { debug() {}, info: write('info'), warn: write('warn'), error: write('error') }
}
