import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  compilePolicies,
  compileRanges,
  type Decision,
  decide,
  decideAt,
  fingerprint,
  formatAddress,
  type Policy,
  parseAddress,
  parsePolicy,
  type Signals,
} from '../src/index.ts'
import { germany, NOW, office } from './sample.ts'

const RUNS = { numRuns: 400 }
const ranks = { allow: 0, require: 1, block: 2 }
const rank = ({ outcome }: Decision) => ranks[outcome]
const some = <T>(...values: T[]) => fc.subarray(values)
const least = <T>(...values: T[]) => fc.subarray(values, { minLength: 1 })
/** Mostly absent: a policy that names everything applies to nobody. */
const rarely = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: undefined, freq: 3 })

const guests = fc.record({
  guestOrExternalUserTypes: least('internalGuest', 'b2bCollaborationGuest'),
  externalTenants: fc.constantFrom(null, { membershipKind: 'enumerated', members: ['fabrikam'] }),
})
const users = fc.record({
  includeUsers: fc.oneof(fc.constant(['All']), least('alice', 'kim', 'GuestsOrExternalUsers', 'None')),
  excludeUsers: some('kim', 'GuestsOrExternalUsers'),
  includeGroups: some('finance', 'sales'),
  excludeGroups: some('sales'),
  includeRoles: some('admin'),
  excludeRoles: fc.constantFrom([], [], ['admin']),
  includeGuestsOrExternalUsers: fc.option(guests, { freq: 3 }),
  excludeGuestsOrExternalUsers: fc.option(guests, { freq: 3 }),
})
const applications = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({ includeApplications: fc.oneof(fc.constant(['All']), least('files-api', 'None')), excludeApplications: some('mail-api') }),
  },
  fc.record({ includeAuthenticationContextClassReferences: least('c1', 'c2') }),
  fc.constant({ includeUserActions: ['urn:user:registersecurityinfo'] }),
)
const locations = fc.oneof(
  fc.record({ includeLocations: fc.constant(['All']), excludeLocations: least('office', 'germany', 'AllTrusted') }),
  fc.record({ includeLocations: least('office', 'germany', 'AllTrusted'), excludeLocations: fc.constant([]) }),
)
const deviceRule = fc.constantFrom('device.isCompliant -ne True', 'device.trustType -eq "ServerAD" -or device.model -startsWith "S"')
const conditions = fc.record({
  users,
  applications,
  clientAppTypes: rarely(least('browser', 'other')),
  platforms: rarely(fc.record({ includePlatforms: fc.oneof(fc.constant(['all']), least('windows', 'linux')), excludePlatforms: some('linux') })),
  locations: rarely(locations),
  devices: rarely(fc.record({ deviceFilter: fc.record({ mode: fc.constantFrom('include', 'exclude'), rule: deviceRule }) })),
  signInRiskLevels: rarely(least('medium', 'high')),
  userRiskLevels: rarely(least('low', 'high')),
  insiderRiskLevels: rarely(least('minor', 'elevated')),
  authenticationFlows: rarely(fc.record({ transferMethods: least('deviceCodeFlow', 'authenticationTransfer') })),
})
const strength = { id: '00000000-0000-0000-0000-000000000004' }
const grantControls = fc.oneof(
  fc.constant({ operator: 'OR', builtInControls: ['block'] }),
  fc.record({
    operator: fc.constantFrom('AND', 'OR'),
    builtInControls: least('mfa', 'compliantDevice', 'domainJoinedDevice', 'approvedApplication'),
    authenticationStrength: fc.constantFrom(null, null, strength),
  }),
)
const sessionControls = fc.record({
  signInFrequency: fc.constantFrom(null, { isEnabled: true, type: 'hours', value: 1 }, { isEnabled: true, frequencyInterval: 'everyTime' }),
  persistentBrowser: fc.constantFrom(null, { isEnabled: true, mode: 'always' }, { isEnabled: true, mode: 'never' }),
  continuousAccessEvaluation: fc.constantFrom(null, null, { mode: 'strictLocation' }, { mode: 'disabled' }),
})

function policies(
  most = 6,
  state: fc.Arbitrary<string> = fc.constantFrom('enabled', 'enabled', 'enabled', 'enabledForReportingButNotEnforced', 'disabled'),
) {
  const one = fc.record({ conditions, grantControls, sessionControls, state })
  return fc.array(one, { maxLength: most }).map((list) => list.map((value, at) => read(value, `p${at}`)))
}

function read(value: any, id: string): Policy {
  const { includeUserActions } = value.conditions.applications
  const state = includeUserActions && value.state !== 'disabled' ? 'enabled' : value.state
  return parsePolicy({ ...value, id, displayName: id, state })
}
const enabled = fc.record({ conditions, grantControls, sessionControls, state: fc.constant('enabled') }).map((value) => read(value, 'added'))

const KNOWN = {
  user: fc.record(
    {
      id: fc.constantFrom('alice', 'kim', 'lee'),
      groups: some('finance', 'sales'),
      roles: fc.constantFrom([], ['admin']),
      guest: fc.record({
        types: fc.constantFrom(['internalGuest'], ['b2bCollaborationGuest'], ['serviceProvider'], ['internalGuest', 'b2bCollaborationGuest']),
        tenants: fc.constantFrom(['fabrikam'], ['tailspin']),
      }),
    },
    { requiredKeys: ['id', 'groups', 'roles'] },
  ),
  application: fc.constantFrom('files-api', 'mail-api'),
  contexts: fc.constantFrom([], ['c1'], ['c1', 'c2']),
  clientAppType: fc.constantFrom('browser', 'mobileAppsAndDesktopClients', 'other'),
  platform: fc.constantFrom('windows', 'linux', 'other'),
  address: fc.constantFrom('198.51.100.7', '203.0.113.7', '2001:db8::1'),
  country: fc.constantFrom('DE', 'NL', null),
  device: fc.option(
    fc.record({
      id: fc.constant('d'),
      isCompliant: fc.boolean(),
      trustType: fc.constantFrom('ServerAD', 'AzureAD'),
      model: fc.constantFrom('Surface', null),
    }),
  ),
  userRisk: fc.constantFrom('none', 'low', 'high'),
  signInRisk: fc.constantFrom('none', 'medium', 'high'),
  insiderRisk: fc.constantFrom('none', 'minor', 'elevated'),
  flow: fc.constantFrom('none', 'deviceCodeFlow', 'authenticationTransfer'),
  proof: fc.record({ at: fc.integer({ min: NOW - 7200, max: NOW }), mfa: fc.boolean(), methods: fc.constantFrom(['password'], ['fido2']) }),
  client: fc.record({ approved: fc.boolean() }),
}
type Known = Record<keyof typeof KNOWN, unknown>
const known = fc.record(KNOWN) as fc.Arbitrary<Known>
/** Any of the signals may be unknown. */
const signals = fc.tuple(known, fc.subarray(Object.keys(KNOWN))).map(([all, kept]) => {
  return { now: NOW, ...Object.fromEntries(kept.map((name) => [name, all[name as keyof Known]])) } as unknown as Signals
})
const asSignals = (all: Known) => ({ now: NOW, ...all }) as unknown as Signals

const ask = (list: readonly Policy[], given: Signals) => decide(compilePolicies(list, [office, germany]), given)

describe('decide', () => {
  it('never allows more with a policy added', () => {
    fc.assert(
      fc.property(policies(), enabled, signals, (list, added, given) => {
        const before = ask(list, given)
        const after = ask([...list, added], given)
        expect(rank(after)).toBeGreaterThanOrEqual(rank(before))
        expect(after.unmet).toEqual(expect.arrayContaining([...before.unmet]))
        expect(after.session.freshUntil ?? Number.POSITIVE_INFINITY).toBeLessThanOrEqual(before.session.freshUntil ?? Number.POSITIVE_INFINITY)
      }),
      RUNS,
    )
  })

  it('never allows more with a block added, by two addresses either', () => {
    fc.assert(
      fc.property(policies(), enabled, signals, KNOWN.address, (list, added, given, address) => {
        const blocking = { ...added, grantControls: { operator: 'OR' as const, builtInControls: ['block' as const], authenticationStrength: null } }
        // What switches the evaluation off takes rules away from guards, and is not about blocking.
        const block = { ...blocking, sessionControls: null }
        const before = decideAt(compilePolicies(list, [office, germany]), given, { address })
        const after = decideAt(compilePolicies([...list, block], [office, germany]), given, { address })
        expect(rank(after)).toBeGreaterThanOrEqual(rank(before))
      }),
      RUNS,
    )
  })

  it('blocks whomever a block applies to, and nobody else', () => {
    fc.assert(
      fc.property(policies(), signals, (list, given) => {
        const decision = ask(list, given)
        const blocks = list.filter(({ id, state, grantControls: grant }) => {
          const applies = decision.policies.find((one) => one.id === id)?.applies
          return state === 'enabled' && grant?.builtInControls.includes('block') && applies !== false
        })
        expect(decision.blockedBy).toEqual(blocks.map(({ id }) => id))
      }),
      RUNS,
    )
  })

  it('lets exclude beat include', () => {
    fc.assert(
      fc.property(policies(4, fc.constant('enabled')), known, (list, all) => {
        const given = asSignals(all)
        const excluding = list.map((policy) => {
          const { users: selection } = policy.conditions
          return {
            ...policy,
            conditions: { ...policy.conditions, users: { ...selection, excludeUsers: [...selection.excludeUsers, given.user?.id as string] } },
          }
        })
        expect(ask(excluding, given)).toMatchObject({ outcome: 'allow', unmet: [], session: {} })
        const applied = list.map((policy) => {
          const { applications: selection } = policy.conditions
          if (selection.includeApplications.length === 0) return policy
          return {
            ...policy,
            conditions: { ...policy.conditions, applications: { ...selection, excludeApplications: [given.application as string] } },
          }
        })
        for (const { id, applies } of ask(applied, given).policies) {
          if (applied.find((policy) => policy.id === id)?.conditions.applications.includeApplications.length) expect(applies).toBe(false)
        }
      }),
      RUNS,
    )
  })

  it('does not depend on the order of the policies', () => {
    const plain = (decision: Decision) => ({
      outcome: decision.outcome,
      next: decision.next,
      session: decision.session,
      fingerprint: fingerprint(decision),
      blockedBy: [...decision.blockedBy].sort(),
      policies: [...decision.policies].sort((a, b) => (a.id < b.id ? -1 : 1)),
    })
    fc.assert(
      fc.property(
        policies().chain((list) => fc.tuple(fc.constant(list), fc.shuffledSubarray(list, { minLength: list.length }))),
        signals,
        ([list, shuffled], given) => {
          expect(plain(ask(shuffled, given))).toEqual(plain(ask(list, given)))
        },
      ),
      RUNS,
    )
  })

  it('is never more permissive for an unknown signal than for any known value of it', () => {
    // An address is not among them: one that nobody knows is outside, which is a value.
    const names = Object.keys(KNOWN).filter((name) => name !== 'address' && name !== 'contexts') as (keyof Known)[]
    fc.assert(
      fc.property(policies(), known, fc.constantFrom(...names), (list, all, name) => {
        const { [name]: _, ...rest } = all
        // What is asked for is known once one of its kinds is.
        const { contexts: __, ...untargeted } = rest as Known
        const unknown = ask(list, asSignals((name === 'application' ? untargeted : rest) as Known))
        expect(rank(unknown)).toBeGreaterThanOrEqual(rank(ask(list, asSignals(all))))
      }),
      { numRuns: 1000 },
    )
  })

  it('leaves a policy to guards if and only if inside and outside decide differently', () => {
    const located = fc
      .tuple(enabled, locations)
      .map(([policy, where]) => read({ ...policy, conditions: { ...policy.conditions, locations: where } }, 'p'))
    const told = ({ outcome, unmet, session }: Decision) => ({ outcome, unmet, frequency: session.signInFrequency, until: session.freshUntil })
    fc.assert(
      fc.property(located, signals, (policy, given) => {
        // Off: nothing is left to anybody. A policy that applies here with all that it asks for met holds the session in any case.
        fc.pre(policy.sessionControls?.continuousAccessEvaluation?.mode !== 'disabled')
        const at = (includeLocations: string[]) =>
          read({ ...policy, conditions: { ...policy.conditions, locations: { includeLocations, excludeLocations: [] } } }, 'p')
        const inside = ask([at(['All'])], given)
        const outside = ask([never(policy)], given)
        const here = ask([policy], given)
        const applies = here.policies[0]?.applies !== false
        const differs = applies
          ? JSON.stringify([inside.outcome, inside.unmet]) !== JSON.stringify([outside.outcome, outside.unmet])
          : JSON.stringify(told(inside)) !== JSON.stringify(told(outside))
        expect(here.lateBound.length === 1).toBe(differs)
      }),
      { numRuns: 1000 },
    )
  })

  it('has equal fingerprints only where nobody would notice a difference', () => {
    fc.assert(
      fc.property(policies(2), policies(2), signals, (a, b, given) => {
        const [one, other] = [ask(a, given), ask(b, given)]
        if (fingerprint(one) !== fingerprint(other)) return
        expect(other.outcome).toBe(one.outcome)
        expect(other.lateBound.map(({ id }) => id).sort()).toEqual(one.lateBound.map(({ id }) => id).sort())
        expect(other.session.cae).toBe(one.session.cae)
        expect(new Set(other.unmet.flatMap(({ controls }) => controls))).toEqual(new Set(one.unmet.flatMap(({ controls }) => controls)))
      }),
      RUNS,
    )
  })
})

/** The same policy where nobody is: out of every range and of no country. */
function never(policy: Policy): Policy {
  return { ...policy, conditions: { ...policy.conditions, locations: { includeLocations: ['All'], excludeLocations: ['All'] } } }
}

describe('compileRanges', () => {
  const naive = (range: string, address: string): boolean => {
    const [head, bits] = range.split('/') as [string, string | undefined]
    const [from, asked] = [parseAddress(head), parseAddress(address)]
    if (!from || !asked || from.family !== asked.family) return false
    const text = (one: typeof from) => one.words.map((word) => word.toString(2).padStart(32, '0')).join('')
    const length = bits === undefined ? 128 : Number(bits) - (head.includes(':') && from.family === 4 ? 96 : 0)
    return text(from).slice(0, length) === text(asked).slice(0, length)
  }
  const clustered = fc.tuple(fc.constantFrom('2001:db8:', '2001:db8:0:', 'fe80::', 'ffff:ffff:'), fc.ipV6()).map(([head, tail]) => {
    const words = (parseAddress(tail)?.words.length === 4 ? tail : '::1').split(':')
    return parseAddress(`${head}${words.at(-1)}`)
      ? `${head}${words.at(-1)}`
      : `2001:db8::${/^[0-9a-f]{1,4}$/.test(words.at(-1) as string) ? words.at(-1) : '7'}`
  })
  const word = fc.oneof(fc.nat(0xffff), fc.constantFrom(0, 1, 0xfffe, 0xffff))
  const v6 = fc.oneof(
    clustered,
    fc.ipV6(),
    fc.array(word, { minLength: 8, maxLength: 8 }).map((groups) => groups.map((group) => group.toString(16)).join(':')),
  )
  const v4 = fc.oneof(
    fc.ipV4(),
    fc.tuple(fc.constantFrom(0, 10, 255), word).map(([a, w]) => `${a}.255.${w >>> 8}.${w & 255}`),
  )
  const range = fc.oneof(
    fc.tuple(v4, fc.integer({ min: 0, max: 32 })).map(([address, bits]) => `${address}/${bits}`),
    fc.tuple(v6, fc.integer({ min: 96, max: 128 })).map(([address, bits]) => `${address}/${bits}`),
    fc.tuple(fc.ipV4(), fc.integer({ min: 96, max: 128 })).map(([address, bits]) => `::ffff:${address}/${bits}`),
    fc.oneof(v4, v6),
  )

  it('agrees with one range after the other: IPv4, IPv6 and mapped', () => {
    fc.assert(
      fc.property(fc.array(range, { maxLength: 40 }), fc.array(fc.oneof(v4, v6), { maxLength: 20 }), (ranges, probes) => {
        const table = compileRanges(ranges)
        const heads = ranges.map((one) => (one.split('/') as [string])[0])
        for (const probe of [
          ...probes,
          ...heads,
          ...heads.flatMap(neighbours),
          ...probes.filter((one) => !one.includes(':')).map((one) => `::ffff:${one}`),
        ]) {
          const wanted = ranges.some((one) => naive(one, probe))
          expect(table.has(probe), `${probe} in ${ranges}`).toBe(wanted)
          expect(table.has(parseAddress(probe))).toBe(wanted)
        }
      }),
      RUNS,
    )
  })

  it('writes an address as it is read', () => {
    fc.assert(
      fc.property(fc.oneof(v4, v6), (text) => {
        expect(parseAddress(formatAddress(parseAddress(text) as any))).toEqual(parseAddress(text))
      }),
    )
  })

  /** The numbers beside an address. */
  function neighbours(text: string): string[] {
    const address = parseAddress(text)
    if (!address) return []
    const words = [...address.words]
    return [-1, 1].map((step) => {
      const last = words.length - 1
      const next = words.map((value, at) => (at === last ? (value + step) >>> 0 : value))
      return formatAddress({ family: address.family, words: next } as any)
    })
  }
})
