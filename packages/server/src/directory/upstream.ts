import { z } from 'zod'

/** What an event of an upstream may cause here. */
export const UPSTREAM_ACTIONS = ['revoke', 'disable', 'reevaluate', 'ignore'] as const
export type UpstreamAction = (typeof UPSTREAM_ACTIONS)[number] | 'enable'

const harmful = z.enum(UPSTREAM_ACTIONS).optional()

/** By the short name of the event; what is left out has a default. Events that improve something cause nothing, whatever stands here. */
const actions = z.strictObject({
  'session-revoked': harmful,
  'sessions-revoked': harmful,
  'credential-change': harmful,
  'credential-compromise': harmful,
  'account-disabled': harmful,
  'account-purged': harmful,
  'account-enabled': z.enum(['enable', 'ignore']).optional(),
  'account-credential-change-required': harmful,
  'risk-level-change': harmful,
  'device-compliance-change': harmful,
  'token-claims-change': harmful,
  'assurance-level-change': harmful,
})
export type UpstreamActions = z.infer<typeof actions>
export type UpstreamEventName = keyof UpstreamActions
export const UPSTREAM_EVENTS = Object.keys(actions.shape) as UpstreamEventName[]

const httpsUrl = z
  .string()
  .max(2048)
  .refine((given) => {
    const url = URL.parse(given)
    return url?.protocol === 'https:' && url.username === '' && url.search === '' && url.hash === ''
  }, 'must be an https URL without user, query or fragment')
const text = (most: number) =>
  z
    .string()
    .min(1)
    .max(most)
    .regex(/^[^\p{C}]+$/u, 'must hold no control characters')
const headerValue = z
  .string()
  .max(8192)
  .regex(/^[\x21-\x7e]+$/, 'must be a token')

const credentials = z.union([
  z.strictObject({ clientId: text(256), clientSecret: text(1024), tokenEndpoint: httpsUrl.optional(), scope: text(512).optional() }),
  z.strictObject({ accessToken: headerValue }),
])
export type UpstreamCredentials = z.infer<typeof credentials>

const settings = {
  displayName: text(256).optional(),
  enabled: z.boolean().optional(),
  delivery: z.enum(['poll', 'push']).optional(),
  /** What the stream's SETs must be for. */
  audience: text(512).optional(),
  /** The application as which that transmitter in turn receives from here: what is learnt from it is not sent back to it. */
  receiver: text(128).optional(),
  /** Whose subjects it may name; its own issuer unless this says otherwise. */
  issuers: z.array(text(2048)).min(1).max(16).optional(),
  /** Domains of the e-mail addresses, `acct:` URIs and user names that it may speak about; none unless this says so. */
  domains: z
    .array(
      z
        .string()
        .max(253)
        .regex(/^[^\s@]+$/, 'must be a domain')
        .transform((given) => given.toLowerCase()),
    )
    .max(256)
    .optional(),
  /** Which users its subjects are: those that this system keeps, by external id. */
  source: z.string().max(256).optional(),
  /** What `sub` of its subjects is. */
  subject: z.enum(['externalId', 'userPrincipalName']).optional(),
  actions: actions.optional(),
}

/** A transmitter as an administrator or a tenant file describes it. */
export const upstreamEntry = z.strictObject({ issuer: httpsUrl, ...settings, credentials })
export type UpstreamEntry = z.infer<typeof upstreamEntry>
/** What may change of it. Another issuer is another upstream: a secret goes only to whom it was given for. */
export const upstreamPatch = z.strictObject({ ...settings, credentials: credentials.optional() })
export type UpstreamPatch = z.infer<typeof upstreamPatch>

/** An upstream with every default filled in, without secrets. */
export interface Upstream {
  id: string
  issuer: string
  displayName: string
  enabled: boolean
  delivery: 'poll' | 'push'
  audience: string | null
  receiver: string | null
  issuers: string[]
  domains: string[]
  source: string
  subject: 'externalId' | 'userPrincipalName'
  actions: UpstreamActions
  createdAt: number
}
