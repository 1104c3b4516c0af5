import { type Policy, parseAddress, policyToGraph } from '@caegis/policy'
import type { FastifyRequest } from 'fastify'
import { z } from 'zod'
import type { Analysis, Supposed } from '../access/what-if.ts'
import { ADMIN_API } from '../directory/application.ts'
import { type Api, pathOf, searchOf } from './api.ts'
import type { Caller } from './caller.ts'
import { badRequest, notFound } from './errors.ts'

/** Sign-ins that are looked at. */
const LAST = 1000
const MOST = 20_000

const word = z.string().min(1).max(256)
const risk = z.enum(['none', 'low', 'medium', 'high', 'hidden'])
const user = z.strictObject({
  '@odata.type': z.literal('#microsoft.graph.userSignIn'),
  userId: word,
  externalTenantId: word.optional(),
  externalUserType: word.optional(),
})
const principal = z.strictObject({ '@odata.type': z.literal('#microsoft.graph.servicePrincipalSignIn'), servicePrincipalId: word })
const context = z.discriminatedUnion('@odata.type', [
  z.strictObject({ '@odata.type': z.literal('#microsoft.graph.applicationContext'), includeApplications: z.array(word).length(1) }),
  z.strictObject({ '@odata.type': z.literal('#microsoft.graph.authContext'), authenticationContextValue: z.string().regex(/^c[1-9]\d?$/) }),
  z.strictObject({
    '@odata.type': z.literal('#microsoft.graph.userActionContext'),
    userAction: z.enum(['registerSecurityInformation', 'registerOrJoinDevices', 'urn:user:registersecurityinfo', 'urn:user:registerdevice']),
  }),
])
const text = z.string().max(256).nullable().optional()
const conditions = z
  .strictObject({
    ipAddress: z
      .string()
      .max(64)
      .refine((given) => parseAddress(given) !== undefined, 'must be an IPv4 or IPv6 address'),
    country: z.string().regex(/^[A-Z]{2}$/),
    devicePlatform: z.enum(['android', 'iOS', 'windows', 'windowsPhone', 'macOS', 'linux']),
    clientAppType: z.enum(['browser', 'mobileAppsAndDesktopClients', 'exchangeActiveSync', 'easSupported', 'other']),
    signInRiskLevel: risk,
    userRiskLevel: risk,
    servicePrincipalRiskLevel: risk,
    insiderRiskLevel: z.enum(['none', 'minor', 'moderate', 'elevated']),
    authenticationFlow: z.strictObject({ transferMethod: z.enum(['none', 'deviceCodeFlow', 'authenticationTransfer']) }),
    deviceInfo: z.strictObject({
      ...{ deviceId: text, displayName: text, trustType: text, operatingSystem: text, operatingSystemVersion: text, manufacturer: text, model: text },
      ...{ deviceOwnership: text, profileType: text, mdmAppId: text, enrollmentProfileName: text, isCompliant: z.boolean().nullable().optional() },
    }),
  })
  .partial()

/** A policy as `parsePolicy` reads it; whose id is that of another one takes its place. */
const draft = z.record(z.string(), z.unknown()).optional()
const supposed = z.strictObject({
  signInIdentity: z.discriminatedUnion('@odata.type', [user, principal]),
  signInContext: context,
  signInConditions: conditions.optional(),
  appliedPoliciesOnly: z.boolean().optional(),
  draft,
})
const recorded = z.strictObject({ signInId: word, appliedPoliciesOnly: z.boolean().optional(), draft })
const evaluation = z
  .union([supposed, recorded])
  .describe("Graph's what-if; ours: `signInId` replays a sign-in of the log, `draft` adds a policy that is not stored")
const change = z.strictObject({ policy: z.record(z.string(), z.unknown()), last: z.int().min(1).max(MOST).optional() })

const ACTIONS: Record<string, string> = {
  registerSecurityInformation: 'urn:user:registersecurityinfo',
  registerOrJoinDevices: 'urn:user:registerdevice',
}

/** What policies would say: `identity/conditionalAccess/evaluate`, and what a draft would have meant for real sign-ins. Nothing is changed. */
export function registerWhatIf(api: Api): void {
  const { origin, route } = api
  const base = '/identity/conditionalAccess'
  const needs = ['Policy.Read.All'] as const

  route(
    'POST',
    `${base}/evaluate`,
    { does: 'Says what Conditional Access would decide', needs, body: evaluation },
    async ({ tenant }, _request, _reply, body) => {
      const given = body.draft === undefined ? undefined : await readDraft(tenant, body.draft)
      const found =
        'signInId' in body
          ? await tenant.whatIf.replay(body.signInId, given)
          : await tenant.whatIf.suppose(await ofKnownApi(tenant, toSupposed(body as z.infer<typeof supposed>)), given)
      if (!found) throw notFound()
      return {
        '@odata.context': `${origin}/v1.0/$metadata#Collection(microsoft.graph.whatIfAnalysisResult)`,
        ...shown(found, body.appliedPoliciesOnly === true),
      }
    },
  )

  route(
    'POST',
    `${base}/impact`,
    { does: 'Says what a draft of a policy would have meant for the last sign-ins', needs, body: change },
    async ({ tenant }, _request, _reply, { policy, last = LAST }) => tenant.whatIf.impact(await readDraft(tenant, policy), last),
  )

  route(
    'GET',
    `${base}/policies/:id/impact`,
    { does: 'Says what a policy, if it were enabled, would have meant for the last sign-ins', needs, options: ['$top'] },
    async ({ tenant }, request) => {
      const policy = (await tenant.book.current()).policies.find(({ id }) => id === pathOf(request))
      if (!policy) throw notFound()
      return tenant.whatIf.impact(policy, lastOf(request))
    },
  )
}

/** An API may be named by an identifier URI, too. What names none would be met by no policy, and everybody let in. */
async function ofKnownApi({ applications }: Caller['tenant'], given: Supposed): Promise<Supposed> {
  if (given.application === undefined || given.application === ADMIN_API) return given
  const application = await applications.named(given.application)
  if (application === undefined) throw badRequest(`There is no application "${given.application}": name one by its appId, or by an identifier URI.`)
  return { ...given, application }
}

function lastOf(request: FastifyRequest): number {
  const last = searchOf(request).get('$top') ?? String(LAST)
  if (!/^\d{1,5}$/.test(last) || Number(last) < 1 || Number(last) > MOST) throw badRequest(`$top must be a number from 1 to ${MOST}.`)
  return Number(last)
}

/** With an id it is a change of that policy. @throws CaegisError `invalid_policy` with the path of each mistake, `policy_not_found` */
const readDraft = ({ policies }: Caller['tenant'], { id, ...rest }: Record<string, unknown>): Promise<Policy> =>
  typeof id === 'string' ? policies.draft(rest, id) : policies.draft({ displayName: 'Draft', state: 'enabled', ...rest })

function toSupposed({ signInIdentity: who, signInContext: what, signInConditions: seen = {} }: z.infer<typeof supposed>): Supposed {
  const { ipAddress, country, devicePlatform, clientAppType, signInRiskLevel, userRiskLevel, servicePrincipalRiskLevel, insiderRiskLevel } = seen
  const { authenticationFlow, deviceInfo } = seen
  const given = {
    address: ipAddress,
    country,
    platform: devicePlatform,
    clientAppType,
    signInRisk: signInRiskLevel,
    userRisk: userRiskLevel,
    servicePrincipalRisk: servicePrincipalRiskLevel,
    insiderRisk: insiderRiskLevel,
    flow: authenticationFlow?.transferMethod,
    device: deviceInfo && { id: deviceInfo.deviceId ?? '', ...defined(deviceInfo) },
    application: what['@odata.type'] === '#microsoft.graph.applicationContext' ? what.includeApplications[0] : undefined,
    contexts: what['@odata.type'] === '#microsoft.graph.authContext' ? [what.authenticationContextValue] : undefined,
    action: what['@odata.type'] === '#microsoft.graph.userActionContext' ? (ACTIONS[what.userAction] ?? what.userAction) : undefined,
    ...(who['@odata.type'] === '#microsoft.graph.userSignIn'
      ? { userId: who.userId, externalTenant: who.externalTenantId, externalType: who.externalUserType }
      : { servicePrincipalId: who.servicePrincipalId }),
  }
  return defined(given) as Supposed
}

function defined(given: object): object {
  return Object.fromEntries(Object.entries(given).filter(([name, value]) => value !== undefined && name !== 'deviceId'))
}

/** Graph's whatIfAnalysisResult, and ours beside: three-valued, with what would be missing, and the decision of all together. */
function shown({ decision, policies }: Analysis, appliedOnly: boolean): object {
  const { outcome, next = null, blockedBy, session } = decision
  return {
    value: policies
      .filter(({ applies }) => !appliedOnly || applies === true)
      .map(({ policy, applies, reasons, result }) => ({
        ...policyToGraph(policy),
        policyApplies: applies === true,
        analysisReasons: reasons.length > 0 ? reasons.join(',') : 'notSet',
        caegis: {
          applies,
          result: result.result,
          unmet: result.unmet,
          satisfied: result.satisfied,
          notSatisfied: result.notSatisfied,
          unknown: result.unknown,
        },
      })),
    caegis: { outcome, next, blockedBy, session },
  }
}
