import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { ConfidentialClientApplication, type ICachePlugin, PublicClientApplication } from '@azure/msal-node'
import { withClaimsChallenge } from '@caegis/client'
import { CaegisError } from '@caegis/protocol'
import { z } from 'zod'
import { daemonOf } from './client-secret.ts'
import { CLI_ERRORS } from './errors.ts'
import { otherOrigin } from './origin.ts'
import { trustLocalCa } from './trust.ts'

/** Where the command signs in, kept beside MSAL's cache in the user's config folder. */
const profile = z.strictObject({ origin: z.string(), tenant: z.string() })
export type Profile = z.infer<typeof profile>

const CLI_APP = 'caegis-cli'
/** The token endpoint's codes. */
const TENANT_STOPPED = 5_000_224
const CLIENT_REFUSED = 7_000_215

const folder = () => join(process.env.XDG_CONFIG_HOME ?? join(homedir(), '.config'), 'caegis')

/** Where the command would sign in; the tenant only where one is known. */
export function knownProfile(): { origin: string; tenant: string | undefined } {
  const { CAEGIS_ORIGIN: origin, CAEGIS_TENANT: tenant } = process.env
  const file = join(folder(), 'profile.json')
  const saved = existsSync(file) ? profile.parse(JSON.parse(readFileSync(file, 'utf8'))) : undefined
  return { origin: origin ?? saved?.origin ?? 'https://localhost:8443', tenant: tenant ?? saved?.tenant }
}

export function readProfile(): Profile {
  const found = knownProfile()
  if (found.tenant === undefined) throw new CaegisError('not_signed_in', CLI_ERRORS.not_signed_in)
  return found as Profile
}

export function saveProfile(given: Profile): void {
  mkdirSync(folder(), { recursive: true, mode: 0o700 })
  writeFileSync(join(folder(), 'profile.json'), `${JSON.stringify(given)}\n`, { mode: 0o600 })
}

/** MSAL's cache in a file that only its owner can read. */
function fileCache(): ICachePlugin {
  const file = join(folder(), 'tokens.json')
  return {
    async beforeCacheAccess(context) {
      if (existsSync(file)) context.tokenCache.deserialize(readFileSync(file, 'utf8'))
    },
    async afterCacheAccess(context) {
      if (!context.cacheHasChanged) return
      mkdirSync(folder(), { recursive: true, mode: 0o700 })
      writeFileSync(file, context.tokenCache.serialize(), { mode: 0o600 })
      // The mode above holds for new files only.
      chmodSync(file, 0o600)
    },
  }
}

function settings({ origin, tenant }: Profile, clientId: string) {
  return {
    auth: { clientId, authority: `${origin}/${tenant}`, knownAuthorities: [new URL(origin).host], clientCapabilities: ['cp1'] },
    system: { protocolMode: 'OIDC' },
  }
}

export function publicClient(given: Profile): PublicClientApplication {
  return new PublicClientApplication({ ...settings(given, CLI_APP), cache: { cachePlugin: fileCache() } } as never)
}

export function scopesOf({ origin }: Profile): string[] {
  return [`${origin}/.default`]
}

/**
 * Runs work of MSAL, which keeps to itself why it could not reach the issuer: when that is what failed, the issuer is asked once more, for the reason.
 * @throws TypeError of that fetch; CaegisError `unknown_tenant`, `tenant_stopped`, `client_refused`, `other_origin`; whatever else MSAL throws
 */
export async function withReason<T>({ origin, tenant }: Profile, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    const { errorCode, errorNo } = error as { errorCode?: unknown; errorNo?: unknown }
    if ((errorCode === 'post_request_failed' || errorCode === 'access_denied') && (await isStopped({ origin, tenant }))) {
      throw new CaegisError('tenant_stopped', `${CLI_ERRORS.tenant_stopped} On the server's host: caegis recover ${tenant}`, { cause: error })
    }
    if (Number(errorNo) === CLIENT_REFUSED) {
      const why = `${CLI_ERRORS.client_refused} CAEGIS_CLIENT_ID has to be an application of the tenant ${tenant}, and CAEGIS_CLIENT_SECRET its secret.`
      throw new CaegisError('client_refused', why, { cause: error })
    }
    if (errorCode !== 'endpoints_resolution_error' && errorCode !== 'openid_config_error' && errorCode !== 'network_error') throw error
    const response = await fetch(`${origin}/${encodeURIComponent(tenant)}/v2.0/.well-known/openid-configuration`)
    if (response.status === 404)
      throw new CaegisError('unknown_tenant', `${CLI_ERRORS.unknown_tenant.slice(0, -1)} as "${tenant}".`, { cause: error })
    const { issuer } = (await response.json().catch(() => ({}))) as { issuer?: string }
    const other = issuer === undefined ? undefined : otherOrigin(issuer, origin)
    if (other) throw new CaegisError('other_origin', `${CLI_ERRORS.other_origin.slice(0, -1)}: ${other.says}. ${other.next}`, { cause: error })
    throw error
  }
}

/** Whether nothing is issued here at all; a token that nobody ever had is refused for that reason first. */
async function isStopped({ origin, tenant }: Profile): Promise<boolean> {
  const form = { grant_type: 'refresh_token', client_id: CLI_APP, refresh_token: '-' }
  const response = await fetch(`${origin}/${encodeURIComponent(tenant)}/oauth2/v2.0/token`, { method: 'POST', body: new URLSearchParams(form) })
  const { error_codes: codes } = (await response.json()) as { error_codes?: number[] }
  return codes?.includes(TENANT_STOPPED) === true
}

/** A fetch for the admin API that signs in by itself: with the client credentials of the environment, or with what `caegis login` left. */
export function adminFetch(given: Profile): typeof fetch {
  trustLocalCa(process.env.CAEGIS_DATA ?? '.caegis')
  const found = daemonOf(process.env)
  if (found) {
    const { clientId, clientSecret } = found
    const base = settings(given, clientId)
    const daemon = new ConfidentialClientApplication({ ...base, auth: { ...base.auth, clientSecret } } as never)
    return withClaimsChallenge(fetch, {
      origins: [given.origin],
      token: async ({ claims }) => {
        const asked = { scopes: [`${given.origin}/.default`], ...(claims ? { claims } : {}) }
        const result = await withReason(given, () => daemon.acquireTokenByClientCredential(asked))
        return result?.accessToken as string
      },
    })
  }
  const client = publicClient(given)
  return withClaimsChallenge(fetch, {
    origins: [given.origin],
    async token({ claims }) {
      const [account] = await client.getTokenCache().getAllAccounts()
      if (!account) throw new CaegisError('not_signed_in', CLI_ERRORS.not_signed_in)
      try {
        const asked = { account, scopes: scopesOf(given), ...(claims ? { claims } : {}) }
        const result = await withReason(given, () => client.acquireTokenSilent(asked))
        return result.accessToken
      } catch (error) {
        if ((error as Error).name !== 'InteractionRequiredAuthError') throw error
        throw new CaegisError('not_signed_in', `Your sign-in has ended. Run: caegis login --tenant ${given.tenant}`, { cause: error })
      }
    },
  })
}
