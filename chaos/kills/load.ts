import { setTimeout as sleep } from 'node:timers/promises'
import { EVENT } from '@caegis/protocol'
import type { Answer, Client, Tokens } from './client.ts'
import type { Change, Held, Ledger } from './ledger.ts'
import type { Random } from './random.ts'

/** Somebody to whom things happen, one after the other. What is not known for certain may be either. */
export interface Slot {
  id: string | undefined
  upn: string
  enabled: boolean | undefined
  deleted: boolean | undefined
  lineage: Lineage | undefined
  held: Held[]
  /** A request about them was given up: it may happen at any time, so nothing more is said of them. */
  limbo: boolean
}

/** The refresh tokens of one sign-in, each the successor of the one before. */
export interface Lineage {
  chain: string[]
  /** Milliseconds: when it was known of each that it is spent. */
  spent: number[]
  /** Milliseconds: since then the last one was shown and no answer came. It may have a successor that nobody knows. */
  open: number | undefined
}

export interface PolicyState {
  names: Set<string>
  deleted: boolean | undefined
}

export interface LoadOptions {
  client: Client
  ledger: Ledger
  random: Random
  say(fault: string): void
  /** Names of people, and how many of them nobody touches. */
  upns: string[]
  steady: number
  spenders: number
}

/** Changes at a time; each lane has people of its own. */
const LANES = 4
/** Seconds for which a spent refresh token still leads its client to the successor, and some more. */
const GRACE = 34
/** Seconds for which an answer that never came is asked for again; whoever does so later ends the session, as a thief would. */
const LOST = 20
const POLICIES = '/identity/conditionalAccess/policies'

export type Load = ReturnType<typeof createLoad>

/** Everything that happens while parts are killed: sign-ins, refreshes, and changes of all kinds, each told to the ledger. */
export function createLoad({ client, ledger, random, say, upns, steady, spenders }: LoadOptions) {
  const slots = upns
    .slice(steady + spenders)
    .map((upn): Slot => ({ upn, id: undefined, enabled: true, deleted: false, lineage: undefined, held: [], limbo: false }))
  const policies = new Map<string, PolicyState>()
  const counts = { signIns: 0, refreshes: 0, daemonTokens: 0, reuses: 0, unanswered: 0 }
  const lanes: Promise<void>[] = []
  let over = false
  let gate: PromiseWithResolvers<void> | undefined
  let waiting = 0
  let created = 0
  let newest = ''

  return {
    ...{ slots, policies, counts },
    /** A token that nobody revokes. */
    steady: () => newest,
    /** Signs in those whom nobody touches. */
    async begin() {
      while ((await steadyToken(0)) === undefined) await sleep(50)
      for (let i = 0; i < LANES; i++) lane(() => changeOne(slots.filter((_, at) => at % LANES === i)))
      lane(livingOnes())
      lane(spendingOnes())
      lane(policyEdits())
    },
    /** Resolves when nothing is under way; nothing begins until `goOn`. */
    async hold() {
      gate ??= Promise.withResolvers()
      while (waiting < lanes.length) await sleep(10)
    },
    goOn() {
      gate?.resolve()
      gate = undefined
    },
    async end() {
      over = true
      gate?.resolve()
      await Promise.all(lanes)
    },
  }

  function lane(step: () => Promise<unknown>): void {
    lanes.push(
      (async () => {
        while (!over) {
          if (gate) {
            waiting++
            await gate.promise
            waiting--
            continue
          }
          await step()
          await sleep(10)
        }
      })(),
    )
  }

  async function signIn(upn: string, keep: boolean): Promise<{ held: Held; tokens: Tokens } | undefined> {
    const tokens = await client.signIn(upn)
    if (tokens === undefined) return void counts.unanswered++
    counts.signIns++
    return { held: ledger.hold(tokens.access, keep), tokens }
  }

  async function steadyToken(i: number): Promise<Lineage | undefined> {
    const done = await signIn(upns[i] as string, true)
    if (done === undefined) return undefined
    newest = done.held.text
    return { chain: [done.tokens.refresh], spent: [], open: undefined }
  }

  /** Those whom nobody touches sign in and refresh, and a daemon gets tokens. */
  function livingOnes(): () => Promise<void> {
    const lineages: (Lineage | undefined)[] = Array.from({ length: steady }, () => undefined)
    let turn = 0
    return async () => {
      const i = turn++ % (steady + 1)
      await sleep(random.wait(150))
      if (i === steady) {
        const text = await client.daemon('api://files/.default')
        if (text === undefined) counts.unanswered++
        else {
          counts.daemonTokens++
          ledger.hold(text, true)
        }
        return
      }
      const lineage = lineages[i]
      const lost = lineage?.open !== undefined && Date.now() - lineage.open > LOST * 1000
      if (lineage === undefined || lost || random.next() < 0.1) lineages[i] = (await steadyToken(i)) ?? lineage
      else if ((await refresh(lineage, true)) === 'refused') lineages[i] = undefined
    }
  }

  /** Shows a refresh token. @param at which of the chain; the last one unless told otherwise */
  async function refresh(lineage: Lineage, keep: boolean, at = lineage.chain.length - 1): Promise<'done' | 'refused' | undefined> {
    const { chain, spent } = lineage
    const last = at === chain.length - 1
    const answer = await client.token({ grant_type: 'refresh_token', client_id: 'files-native', refresh_token: chain[at] as string })
    if (answer === undefined) {
      counts.unanswered++
      if (last) lineage.open ??= Date.now()
      return undefined
    }
    if (answer.status !== 200) return 'refused'
    counts.refreshes++
    ledger.hold(String(answer.body.access_token), keep)
    const next = String(answer.body.refresh_token)
    const known = chain.indexOf(next)
    if (known >= 0 ? known <= at : !last && lineage.open === undefined)
      say(`a refresh token that was spent had a second successor (place ${at} of ${chain.length}, led to ${known})`)
    if (known < 0) {
      spent[chain.length - 1] = Date.now()
      chain.push(next)
      lineage.open = undefined
    }
    return 'done'
  }

  /** Shows what was spent: soon after, when it may lead to its successor and to nothing else, and late, when it may lead to nothing. */
  function spendingOnes(): () => Promise<void> {
    const lineages: Lineage[] = []
    let turn = 0
    return async () => {
      await sleep(random.wait(300))
      const old = lineages.find(({ spent }) => Date.now() - (spent[0] ?? Number.POSITIVE_INFINITY) > GRACE * 1000)
      if (old) {
        lineages.splice(lineages.indexOf(old), 1)
        // Its first successor was spent as long ago only if nothing was shown since.
        const result = await refresh(old, false, 0)
        if (result === 'done') say('a refresh token was taken long after it had been spent')
        if (result === 'refused') counts.reuses++
        return
      }
      if (lineages.length < 6) {
        const done = await signIn(upns[steady + (turn++ % spenders)] as string, false)
        if (done) lineages.push({ chain: [done.tokens.refresh], spent: [], open: undefined })
        return
      }
      const lineage = random.pick(lineages)
      const places = lineage.chain.length
      // A chain that is shown at its end only would never show whether its middle is dead.
      const result = await refresh(lineage, false, random.next() < 0.5 ? places - 1 : Math.floor(random.next() * places))
      if (result === 'refused') lineages.splice(lineages.indexOf(lineage), 1)
    }
  }

  async function changeOne(own: Slot[]): Promise<void> {
    const slot = random.pick(own)
    if (slot.limbo) return
    if (slot.deleted === undefined) return settleDeletion(slot)
    if (slot.deleted) return create(slot)
    if (slot.enabled !== true) return enable(slot)
    slot.held = slot.held.filter(({ covered }) => covered === undefined)
    // Whose id is not known yet has to sign in; the others may be changed while they are out.
    if (random.next() < (slot.held.length > 0 ? 0.2 : slot.id === undefined ? 1 : 0.5)) {
      const done = await signIn(slot.upn, false)
      if (!done) return
      slot.id = done.held.user
      slot.held.push(done.held)
      slot.lineage = { chain: [done.tokens.refresh], spent: [], open: undefined }
    }
    if (slot.lineage && random.next() < 0.3) {
      const before = ledger.tokens.size
      await refresh(slot.lineage, false)
      slot.held.push(...[...ledger.tokens].slice(before).filter(({ user }) => user === slot.id && user !== undefined))
    }
    // Now and then there is time for the guards to see them let in.
    if (random.next() < 0.5) await sleep(random.wait(200))
    const dice = random.next()
    if (dice < 0.4) return revoke(slot)
    if (dice < 0.65) return disable(slot)
    if (dice < 0.87) return endSession(slot)
    return remove(slot)
  }

  /** One change of somebody. @returns whether it was acknowledged */
  async function change(
    slot: Slot,
    what: Omit<Change, 'sent'>,
    ends: Held[],
    method: string,
    path: string,
    body?: object,
  ): Promise<Answer | undefined> {
    const begun = ledger.begin(what.op, what)
    const { late } = client
    const answer = await client.change(method, path, body)
    if (client.late > late) slot.limbo = true
    if (answer && answer.status < 300) ledger.acknowledged(begun, answer.txn, ends)
    // What ended with it has to be asked for again, whether it ended or not.
    else if (answer === undefined) slot.held = slot.held.filter((held) => !ends.includes(held))
    else if (answer.status !== 401) say(`${what.op} was answered with ${answer.status} ${JSON.stringify(answer.body).slice(0, 200)}`)
    return answer
  }

  async function revoke(slot: Slot): Promise<void> {
    const { lineage } = slot
    const what = { op: 'revoke', user: slot.id as string, event: EVENT.sessionRevoked }
    const answer = await change(slot, what, slot.held, 'POST', `/users/${slot.id}/revokeSignInSessions`)
    if (answer?.status === 200) await mustBeDead(lineage, 'a revocation')
  }

  async function mustBeDead(lineage: Lineage | undefined, of: string): Promise<void> {
    if (lineage && random.next() < 0.3 && (await refresh(lineage, false)) === 'done') say(`a refresh token survived ${of}`)
  }

  async function disable(slot: Slot): Promise<void> {
    const { lineage } = slot
    const what = { op: 'disable', user: slot.id as string, event: EVENT.accountDisabled }
    const answer = await change(slot, what, slot.held, 'PATCH', `/users/${slot.id}`, { accountEnabled: false })
    slot.enabled = answer === undefined ? undefined : answer.status !== 204
    if (answer?.status === 204) await mustBeDead(lineage, 'a disabled account')
  }

  async function enable(slot: Slot): Promise<void> {
    const certain = slot.enabled === false
    const what = { op: 'enable', user: slot.id as string, ...(certain ? { event: EVENT.accountEnabled } : {}) }
    const answer = await change(slot, what, [], 'PATCH', `/users/${slot.id ?? slot.upn}`, { accountEnabled: true })
    if (answer?.status === 204) slot.enabled = true
    else if (answer === undefined) slot.enabled = undefined
  }

  async function endSession(slot: Slot): Promise<void> {
    const [held] = slot.held
    if (held?.sid === undefined) return
    const what = { op: 'end session', user: slot.id as string, sid: held.sid, event: EVENT.sessionRevoked }
    const ends = slot.held.filter(({ sid }) => sid === held.sid)
    await change(slot, what, ends, 'POST', `/caegis/sessions/${held.sid}/revoke`)
  }

  async function remove(slot: Slot): Promise<void> {
    const answer = await change(slot, { op: 'delete', user: slot.id as string, event: EVENT.accountPurged }, slot.held, 'DELETE', `/users/${slot.id}`)
    slot.deleted = answer === undefined ? undefined : answer.status === 204
  }

  /** Whether somebody was deleted is asked for until it is known: what comes later about them says it for certain. */
  async function settleDeletion(slot: Slot): Promise<void> {
    const answer = await client.change('GET', `/users/${slot.id}`)
    if (answer?.status === 404) slot.deleted = true
    else if (answer?.status === 200) {
      // A change of theirs that is acknowledged comes behind the deletion, if there still is one to come.
      const what = { op: 'revoke', user: slot.id as string, event: EVENT.sessionRevoked }
      const begun = ledger.begin(what.op, what)
      const done = await client.change('POST', `/users/${slot.id}/revokeSignInSessions`)
      if (done?.status === 200) {
        ledger.acknowledged(begun, done.txn, slot.held)
        slot.deleted = false
      }
    }
  }

  async function create(slot: Slot): Promise<void> {
    const upn = `new${++created}@contoso.test`
    const body = { userPrincipalName: upn, displayName: upn, accountEnabled: true }
    // A password that has to be changed at the first sign-in would be a test of that page.
    const passwordProfile = { password: 'correct horse battery', forceChangePasswordNextSignIn: false }
    const begun = ledger.begin('create', {})
    const answer = await client.change('POST', '/users', { ...body, passwordProfile })
    if (answer?.status !== 201) return
    Object.assign(slot, { id: answer.body.id, upn, enabled: true, deleted: false, lineage: undefined, held: [] })
    begun.user = answer.body.id
    ledger.acknowledged(begun, answer.txn, [])
  }

  /** Policies that concern nobody: what is tried is that they are there. */
  function policyEdits(): () => Promise<void> {
    let edits = 0
    return async () => {
      await sleep(random.wait(400))
      const displayName = `policy ${++edits}`
      const living = [...policies].filter(([, { deleted }]) => deleted === false)
      const begin = (op: string) => ledger.begin(op, {})
      if (living.length < 3) {
        const begun = begin('create policy')
        const conditions = { users: { includeUsers: ['None'] }, applications: { includeApplications: ['All'] } }
        const grantControls = { operator: 'OR', builtInControls: ['block'] }
        const answer = await client.change('POST', POLICIES, { displayName, state: 'enabled', conditions, grantControls })
        if (answer?.status === 201) {
          policies.set(answer.body.id, { names: new Set([displayName]), deleted: false })
          ledger.acknowledged(begun, answer.txn, [])
        } else if (answer && answer.status !== 401)
          say(`create policy was answered with ${answer.status} ${JSON.stringify(answer.body).slice(0, 300)}`)
        return
      }
      const [id, policy] = random.pick(living)
      if (random.next() < 0.1) {
        const begun = begin('delete policy')
        const answer = await client.change('DELETE', `${POLICIES}/${id}`)
        policy.deleted = answer === undefined ? undefined : answer.status === 204
        if (answer?.status === 204) ledger.acknowledged(begun, answer.txn, [])
        return
      }
      const begun = begin('edit policy')
      const answer = await client.change('PATCH', `${POLICIES}/${id}`, { displayName })
      if (answer?.status === 204) {
        policy.names = new Set([displayName])
        ledger.acknowledged(begun, answer.txn, [])
      } else if (answer === undefined) policy.names.add(displayName)
      else if (answer.status !== 401) say(`edit policy was answered with ${answer.status} ${JSON.stringify(answer.body).slice(0, 200)}`)
    }
  }
}
