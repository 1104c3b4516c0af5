import { CaegisError } from '@caegis/protocol'
import { type AdminCall, listAll, type Refusal } from '../admin-call.ts'
import { explain } from '../explain.ts'
import { counted } from '../output.ts'
import { type Finding, fail, ok, skipped, warn } from './finding.ts'

interface Stream {
  id: string
  appId: string
  status: string
  statusReason: string | null
  lag: { rows: number; seconds: number }
  live: boolean | null
  deadLetters: number
}

/** Seconds for which a receiver may be behind. */
const LAG = 60

/** What only somebody who is signed in is told: the tenant, the proxies before the server, and whoever it speaks with. */
export async function checkSignedIn(call: AdminCall, tenant = '<name>'): Promise<Finding[]> {
  const read = async <T>(path: string) => (await (await call('GET', path)).json()) as T
  const signIn = await look(
    'sign-in',
    async () => {
      await read('/caegis/organization')
      return [ok('sign-in', 'you are signed in')]
    },
    `caegis login --tenant ${tenant}`,
  )
  if (signIn.some(({ state }) => state === 'fail')) return signIn
  return [
    ...signIn,
    ...(await look('tenant state', async () => {
      const { name, state } = await read<{ name: string; state: string }>('/caegis/organization')
      if (state === 'stopped')
        return [fail('tenant state', 'the tenant is stopped: nobody gets in', `caegis resume ${name}, as the account of "caegis recover ${name}"`)]
      return [ok('tenant state', 'the tenant is running')]
    })),
    ...(await look('proxies', async () => [checkProxies(await read('/caegis/connection'))])),
    ...(await look('streams', async () => checkStreams(await listAll<Stream>(call, '/caegis/streams')))),
    ...(await look('upstreams', async () => checkUpstreams(await listAll<Upstream>(call, '/caegis/upstreams')))),
    ...(await look('ldap', async () => [checkLdap((await read<{ ldap: Ldap | null }>('/caegis/provisioning')).ldap)])),
  ]
}

/** A look that may not be allowed: that is no fault of the server. */
async function look(check: string, work: () => Promise<Finding[]>, next = "Look at the server's log."): Promise<Finding[]> {
  try {
    return await work()
  } catch (error) {
    const { code, detail } = (error instanceof CaegisError ? error : {}) as Partial<CaegisError>
    const { status } = (detail ?? {}) as Partial<Refusal>
    if (status === 403) return [skipped(check, 'whoever is signed in may not see it')]
    // These say themselves what to do, and it is nothing else.
    if (code === 'tenant_stopped' || code === 'client_refused' || code === 'invalid_credentials') return [fail(check, explain(error))]
    return [fail(check, explain(error), next)]
  }
}

export function checkProxies({ address, peer, forwarded }: { address: string; peer: string; forwarded: boolean }): Finding {
  if (!forwarded) return ok('proxies', `the server sees you at ${address}, without a proxy`)
  if (address === peer)
    return warn(
      'proxies',
      `a proxy at ${peer} says whom it asks for, and is not believed: for the server everybody comes from there`,
      `Start the server with CAEGIS_TRUSTED_PROXIES=${peer} (all hops, if there are several): places and throttling go by it.`,
    )
  if (address === '')
    return warn(
      'proxies',
      'the server believes its proxies, and still does not know where you are',
      'All hops have to be in CAEGIS_TRUSTED_PROXIES, and no more than those.',
    )
  return ok('proxies', `the server sees you at ${address}, through ${peer}`)
}

export function checkStreams(streams: readonly Stream[]): Finding[] {
  if (streams.length === 0) return [warn('streams', 'nobody receives what is revoked', 'Give an API a guard: until then its tokens live on.')]
  const found = streams.flatMap(({ id, appId, status, statusReason, lag, live, deadLetters }): Finding[] => {
    const name = `${appId} (${id})`
    if (status === 'disabled')
      return [fail('streams', `${name} is disabled${statusReason === null ? '' : `: ${statusReason}`}`, `caegis stream enable ${id}`)]
    if (status === 'paused')
      return [warn('streams', `${name} is paused${statusReason === null ? '' : `: ${statusReason}`}`, `caegis stream enable ${id}`)]
    if (live === false)
      return [
        warn(
          'streams',
          `the guard ${name} was not heard of lately`,
          `Until it is back, tokens for ${appId} are short ones. Is it running, and can it reach this server? What is revoked waits for it. If it is gone for good: caegis stream rm ${id}`,
        ),
      ]
    if (lag.rows > 0 && lag.seconds > LAG)
      return [
        warn(
          'streams',
          `${name} is ${counted(lag.rows, 'event')} and ${lag.seconds} s behind`,
          'Can the receiver be reached? caegis stream letters, and its own log.',
        ),
      ]
    if (deadLetters > 0)
      return [warn('streams', `${name} refused ${counted(deadLetters, 'event')}`, `caegis stream letters ${id}; then caegis stream redeliver ${id}`)]
    return []
  })
  return found.length > 0
    ? found
    : [ok('streams', `${streams.length === 1 ? 'the one receiver is' : `all ${streams.length} receivers are`} up to date`)]
}

interface Upstream {
  id: string
  displayName: string
  enabled: boolean
  status: { state: string; stale: boolean; error: string | null }
}

export function checkUpstreams(upstreams: readonly Upstream[]): Finding[] {
  const enabled = upstreams.filter((one) => one.enabled)
  if (enabled.length === 0) return [skipped('upstreams', 'no other transmitter is listened to')]
  const found = enabled.flatMap(({ id, displayName, status: { stale, error } }): Finding[] =>
    stale || error !== null
      ? [fail('upstreams', `${displayName} is not heard${error === null ? '' : ` (${error})`}`, `caegis upstream show ${id}`)]
      : [],
  )
  return found.length > 0
    ? found
    : [ok('upstreams', enabled.length === 1 ? 'the one transmitter is heard' : `all ${enabled.length} transmitters are heard`)]
}

interface Ldap {
  name: string
  state: string
  lastError: { code: string; message: string } | null
}

export function checkLdap(ldap: Ldap | null): Finding {
  if (!ldap) return skipped('ldap', 'no directory is followed')
  if (ldap.state !== 'failing') return ok('ldap', `${ldap.name} is followed`)
  return fail('ldap', `${ldap.name} cannot be read: ${ldap.lastError?.message ?? ''}`, 'Try it by hand on the host: caegis sync ldap -f <file>')
}
