import { compilePolicies, type Decision, decideAt, type Policy, type PolicyAnalysis, type PolicySet, type Signals, whatIf } from '@caegis/policy'
import type { SignIns } from '../logs/sign-ins.ts'
import type { Store } from '../store/store.ts'
import type { Book, Page } from './book.ts'
import { compareSets, type Impact, replaySignIns } from './replay.ts'
import { readServicePrincipals, readUsers } from './standing.ts'

/** Somebody, or something, that is supposed to sign in. What is left out is unknown. */
export interface Supposed extends Omit<Signals, 'user' | 'servicePrincipal' | 'now'> {
  userId?: string
  servicePrincipalId?: string
  servicePrincipalRisk?: NonNullable<Signals['servicePrincipal']>['risk']
  externalType?: string
  externalTenant?: string
}

export interface Analysis {
  decision: Decision
  policies: (PolicyAnalysis & { policy: Policy })[]
}

/** Asks the policies about sign-ins that did not happen, or that happened under others. Nothing is changed and nothing is recorded. */
export interface WhatIf {
  /** @param draft taken in place of the one of its id, or beside the others. @returns `undefined` when there is no such user or service principal */
  suppose(given: Supposed, draft?: Policy): Promise<Analysis | undefined>
  /** The same of a sign-in of the log. */
  replay(signIn: string, draft?: Policy): Promise<Analysis | undefined>
  /** What a draft, or a policy that is only reported, would have meant for the last sign-ins: as if it were enabled. */
  impact(policy: Policy, last: number): Promise<Impact>
}

const PAGE = 500

export function createWhatIf(
  store: Store,
  tenant: string,
  book: Book,
  signIns: SignIns,
  countryOf: (address: string) => string | null | undefined,
): WhatIf {
  const setWith = (page: Page, draft: Policy | undefined): { set: PolicySet; policies: readonly Policy[] } => {
    if (!draft) return { set: page.set, policies: page.policies }
    const policies = [...page.policies.filter(({ id }) => id !== draft.id), draft]
    return { set: compilePolicies(policies, page.compiled), policies }
  }

  const analyse = ({ set, policies }: ReturnType<typeof setWith>, signals: Signals, seen?: Parameters<typeof decideAt>[2]): Analysis => ({
    decision: decideAt(set, signals, seen),
    policies: whatIf(set, signals).map((one) => ({ ...one, policy: policies.find(({ id }) => id === one.id) as Policy })),
  })

  return {
    async suppose({ userId, servicePrincipalId, servicePrincipalRisk, externalType, externalTenant, ...given }, draft) {
      const signals: Signals = { ...given, now: store.clock() }
      if (signals.country === undefined && signals.address !== undefined) {
        const country = countryOf(signals.address)
        if (country !== undefined) signals.country = country
      }
      if (userId !== undefined) {
        const user = (await readUsers(store.db, tenant, [userId])).get(userId)
        if (!user) return undefined
        const guest =
          externalType === undefined ? user.guest : { types: [externalType], ...(externalTenant === undefined ? {} : { tenants: [externalTenant] }) }
        signals.user = { id: user.id, groups: user.groups, roles: user.roles, ...(guest ? { guest } : {}) }
      } else {
        const row = await store.db
          .selectFrom('applications')
          .select('app_id')
          .where('tenant', '=', tenant)
          .where((eb) => eb.or([eb('id', '=', servicePrincipalId ?? ''), eb('app_id', '=', servicePrincipalId ?? '')]))
          .where('deleted_at', 'is', null)
          .executeTakeFirst()
        const found = row && (await readServicePrincipals(store.db, tenant, [row.app_id])).get(row.app_id)
        if (!found) return undefined
        const { risk: _, ...principal } = found
        signals.servicePrincipal = { ...principal, ...(servicePrincipalRisk === undefined ? {} : { risk: servicePrincipalRisk }) }
      }
      return analyse(setWith(await book.current(), draft), signals)
    },

    async replay(id, draft) {
      const record = await signIns.find(id)
      const [one] = record ? await replaySignIns(store.db, tenant, [record]) : []
      return one && analyse(setWith(await book.current(), draft), one.signals, one.brought.seen)
    },

    async impact(policy, last) {
      const page = await book.current()
      const without = page.policies.filter(({ id }) => id !== policy.id)
      const before = compilePolicies(policy.state === 'enabledForReportingButNotEnforced' ? without : page.policies, page.compiled)
      const after = compilePolicies([...without, { ...policy, state: 'enabled' }], page.compiled)
      const total: Impact = { looked: 0, changed: 0, blocked: 0, interrupted: 0, allowed: 0, examples: [] }
      let from: string | undefined
      for (let read = 0; read < last; ) {
        const { value, next } = await signIns.list({ limit: Math.min(PAGE, last - read), ...(from === undefined ? {} : { before: from }) })
        const found = compareSets(await replaySignIns(store.db, tenant, value), before, after)
        for (const name of ['looked', 'changed', 'blocked', 'interrupted', 'allowed'] as const) total[name] += found[name]
        total.examples = [...total.examples, ...found.examples].slice(0, 20)
        if (next === undefined) break
        read += value.length
        from = next
        // Thousands of decisions: others get their turn between pages.
        await new Promise((resolve) => setImmediate(resolve))
      }
      return total
    },
  }
}
