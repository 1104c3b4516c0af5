import { isIP } from 'node:net'
import tls from 'node:tls'
import { otherOrigin } from '../origin.ts'
import { type Finding, fail, ok, warn } from './finding.ts'

/** Milliseconds for which an answer is waited for. */
const PATIENCE = 5000
/** Days before its end at which a certificate is worth a word. */
const SOON = 14
/** Seconds: guards and the server refuse what was issued later than their clock says by more than the second. */
const SKEW = { warn: 5, fail: 60 }

/** The way to the server: whether somebody listens, whom its certificate proves, its clock, and what it calls itself. */
export async function checkServer(origin: string, tenant: string | undefined, data: string): Promise<Finding[]> {
  const url = new URL(origin)
  const met = await meet(url)
  if ('error' in met) {
    const { error } = met
    if (error === 'ECONNREFUSED' || error === 'ETIMEDOUT')
      return [
        fail(
          'server',
          `nobody listens at ${origin} (${error})`,
          'Start "caegis serve", or set CAEGIS_ORIGIN to where it is. On its host: is its port free (CAEGIS_PORT)?',
        ),
      ]
    if (error === 'ENOTFOUND' || error === 'EAI_AGAIN')
      return [fail('server', `the name ${url.hostname} is not known`, 'Set CAEGIS_ORIGIN to where the server is, or mend the DNS.')]
    return [
      fail(
        'server',
        `what listens at ${origin} speaks no TLS (${error})`,
        'Something else may have taken the port; or the origin is that of a proxy which ends TLS elsewhere.',
      ),
    ]
  }
  const certificate = checkCertificate(met, url.hostname, data)
  if (met.problem !== undefined || certificate.state === 'fail') return [ok('server', `somebody listens at ${origin}`), certificate]
  const health = await ask(`${origin}/healthz`)
  const isOurs = health?.status === 200 && (health.body as { status?: string }).status === 'ok'
  if (!health || !isOurs)
    return [
      fail(
        'server',
        `what answers at ${origin} is no CAEgis`,
        'Something else may have taken the port, or a proxy leads elsewhere. Look at CAEGIS_ORIGIN and CAEGIS_PORT.',
      ),
      certificate,
    ]
  return [ok('server', `${origin} answers`), certificate, checkClock(health.date, health.at), ...(await checkTenant(origin, tenant))]
}

interface Met {
  /** Node's code, where the certificate proves nothing. */
  problem: string | undefined
  until: Date
}

/** Speaks TLS without a word of HTTP, so that a certificate that is not trusted can be told from nobody who listens. */
function meet(url: URL): Promise<Met | { error: string }> {
  return new Promise((resolve) => {
    const port = Number(url.port || 443)
    const host = url.hostname.replace(/^\[(.*)\]$/, '$1')
    // An address is no server name (RFC 6066 section 3); node warns whoever sends one.
    const servername = isIP(host) ? '' : host
    const socket = tls.connect({ host, port, servername, rejectUnauthorized: false, timeout: PATIENCE }, () => {
      const { authorizationError } = socket
      const certificate = socket.getPeerCertificate()
      // Without a refusal, nobody has compared the name either.
      const name = tls.checkServerIdentity(host, certificate)
      const problem = authorizationError ? codeOf(authorizationError) : name && codeOf(name)
      socket.destroy()
      resolve({ problem, until: new Date(certificate.valid_to) })
    })
    socket.once('error', (error) => resolve({ error: codeOf(error) }))
    socket.once('timeout', () => {
      socket.destroy()
      resolve({ error: 'ETIMEDOUT' })
    })
  })
}

const codeOf = (error: unknown) => String((error as { code?: string }).code ?? (error as Error).message ?? error)

export function checkCertificate({ problem, until }: Met, host: string, data: string, now = Date.now()): Finding {
  const days = Math.floor((until.getTime() - now) / 86_400_000)
  if (problem === 'CERT_HAS_EXPIRED' || days < 0)
    return fail('certificate', `it ended on ${until.toISOString().slice(0, 10)}`, 'Renew it; a local one is renewed when the server starts.')
  if (problem === 'ERR_TLS_CERT_ALTNAME_INVALID')
    return fail(
      'certificate',
      `it is not for ${host}`,
      'Reach the server by the name that its certificate says, or give it one for this name (CAEGIS_TLS_CERT).',
    )
  if (problem !== undefined)
    return fail(
      'certificate',
      `it is signed by nobody whom this machine trusts (${problem})`,
      `Point CAEGIS_DATA at the server's data folder, whose tls/ca.pem is then trusted (now ${data}), or trust that file by NODE_EXTRA_CA_CERTS.`,
    )
  if (days < SOON) return warn('certificate', `it ends in ${days} days`, 'Renew it in time.')
  return ok('certificate', `trusted, for ${days} more days`)
}

/** @param date seconds by the server, in whole ones; @param at milliseconds here, in the middle of the answer's way */
export function checkClock(date: number, at: number): Finding {
  // The header is cut off to its second.
  const skew = Math.round(date + 0.5 - at / 1000)
  const says = `the clocks are ${Math.abs(skew)} s apart (this machine is ${skew > 0 ? 'behind' : 'ahead'})`
  if (Math.abs(skew) > SKEW.fail)
    return fail('clock', says, 'Set the clocks by NTP: tokens from the future are refused, and what was revoked may not be.')
  if (Math.abs(skew) > SKEW.warn) return warn('clock', says, 'Set the clocks by NTP before they are too far apart.')
  return ok('clock', 'the clocks agree')
}

async function checkTenant(origin: string, tenant: string | undefined): Promise<Finding[]> {
  if (tenant === undefined) return [fail('tenant', 'no tenant is named', 'caegis login --tenant <name>, or set CAEGIS_TENANT.')]
  const found = await ask(`${origin}/${encodeURIComponent(tenant)}/v2.0/.well-known/openid-configuration`)
  if (found?.status === 404) return [fail('tenant', `the server has no tenant "${tenant}"`, `On its host: caegis tenant create ${tenant}`)]
  const { issuer } = (found?.body ?? {}) as { issuer?: string }
  if (found?.status !== 200 || typeof issuer !== 'string')
    return [fail('tenant', `the server says nothing of the tenant "${tenant}"`, "Look at the server's log.")]
  const other = otherOrigin(issuer, origin)
  if (other) return [ok('tenant', `"${tenant}" is there`), fail('origin', other.says, other.next)]
  return [ok('tenant', `"${tenant}" is there`), ok('origin', 'the server calls itself as it is reached')]
}

async function ask(url: string): Promise<{ status: number; body: unknown; date: number; at: number } | undefined> {
  const before = Date.now()
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(PATIENCE), redirect: 'manual' })
    const at = (before + Date.now()) / 2
    const date = Math.floor(Date.parse(response.headers.get('date') ?? '') / 1000)
    return { status: response.status, body: await response.json().catch(() => ({})), date: Number.isNaN(date) ? at / 1000 : date, at }
  } catch {
    return undefined
  }
}
