import { createHash } from 'node:crypto'
import type { ReceivedEvent } from '@caegis/ssf/receiver'
import type { Directory } from '../directory/directory.ts'
import { publishWithGuests } from '../directory/guests.ts'
import { aboutUser, setColumns } from '../directory/lifecycle.ts'
import type { Upstream } from '../directory/upstream.ts'
import { addHold, holdersOf, releaseHolds } from '../directory/upstream-holds.ts'
import type { Log } from '../log.ts'
import type { Actor, ChangeContext, Draft } from '../store/change.ts'
import type { UserRow } from '../store/schema.ts'
import type { Store } from '../store/store.ts'
import { type Meaning, meaningOf, shortName } from './meaning.ts'
import { countOutcome, type UpstreamOutcome } from './outcomes.ts'
import { resolveSubject } from './resolve.ts'

export interface ActOptions {
  store: Store
  log: Log
  tenant: { id: string; issuer: string }
  directory: Pick<Directory, 'sayingWhich'>
}

/** What is done at the word of an upstream, from the least to the most. */
const DEPTHS = { ignore: 0, enable: 0, reevaluate: 1, revoke: 2, disable: 3 } as const

const ACTOR: Actor = { kind: 'system', reason: 'upstream' }

/**
 * Turns events of upstreams into changes here. A fact from elsewhere is ours from the second in which we commit it, because what was issued here until then was
 * good; its cause stays the one that it had there.
 */
export function createAct({ store, log, tenant, directory }: ActOptions) {
  const { id, issuer } = tenant

  return async (upstream: Upstream, event: ReceivedEvent): Promise<UpstreamOutcome> => {
    const meaning = meaningOf(event, upstream.actions)
    const outcome = typeof meaning === 'string' ? await note(upstream, event, meaning) : await commit(upstream, event, meaning)
    if (outcome !== 'committed') log.info('an event of an upstream changes nothing', { tenant: id, upstream: upstream.id, type: event.type, outcome })
    if (outcome === 'exempt') log.warn('an upstream has named the emergency account', { tenant: id, upstream: upstream.id, type: event.type })
    return outcome
  }

  async function note(upstream: Upstream, event: ReceivedEvent, outcome: UpstreamOutcome): Promise<UpstreamOutcome> {
    await countOutcome(store.db, { tenant: id, upstream: upstream.id, outcome, at: Math.floor(store.clock()) }, event)
    return outcome
  }

  async function commit(upstream: Upstream, event: ReceivedEvent, meaning: Meaning): Promise<UpstreamOutcome> {
    const txn = event.txn ?? createHash('sha256').update(`${event.issuer}\n${event.jti}`).digest('base64url')
    const run = () =>
      store.commit({
        ...{ tenant: id, actor: ACTOR, txn },
        ...(upstream.receiver === null ? {} : { origin: upstream.receiver }),
        async edit(context) {
          const outcome = await decide(context, upstream, event, meaning, txn)
          await countOutcome(context.db, { tenant: id, upstream: upstream.id, outcome, at: context.now }, event)
          return outcome
        },
      })
    const user = await resolveSubject({ db: store.db, tenant: id, issuer, upstream }, event.subject)
    const ends = meaning.action === 'revoke' || meaning.action === 'disable'
    const { result } = await (ends && typeof user === 'object' ? directory.sayingWhich(user.id, run) : run())
    return result
  }

  /** Inside the transaction: what was done before is known by then, and nobody can do it meanwhile. */
  async function decide(context: ChangeContext, upstream: Upstream, event: ReceivedEvent, meaning: Meaning, txn: string): Promise<UpstreamOutcome> {
    const { db, now } = context
    const ofCause = db.selectFrom('upstream_acts').select('upstream').where('tenant', '=', id).where('txn', '=', txn)
    const came = await ofCause.limit(1).executeTakeFirst()
    const known = came ?? (await db.selectFrom('events').select('seq').where('tenant', '=', id).where('txn', '=', txn).limit(1).executeTakeFirst())
    // In the log, and not by the word of an upstream.
    if (known && !came) return 'returned'
    const user = await resolveSubject({ db, tenant: id, issuer, upstream }, event.subject)
    if (typeof user === 'string') return user
    if (user.break_glass === 1) return 'exempt'
    const done = await ofCause.select('depth').where('type', '=', meaning.type).where('user_id', '=', user.id).executeTakeFirst()
    const depth = DEPTHS[meaning.action]
    // The same from two upstreams is done once. From one of which less is believed it must not keep what the other one says from being done.
    if (done && done.depth >= depth) return 'duplicate'
    const drafts: Draft[] = []
    const publish = (draft: Draft) => {
      drafts.push(draft)
      context.publish(draft)
    }
    const outcome = await apply({ ...context, publish }, upstream, event, meaning, user)
    // Of guests elsewhere, too. What changed nothing is told to nobody, so it does not come back; another upstream may have more to say about it.
    for (const { tenant = id, type, subject } of drafts) {
      const { sub } = subject.simple as { sub: string }
      const row = { tenant, txn, type, user_id: sub, upstream: upstream.id, at: now, depth }
      await db
        .insertInto('upstream_acts')
        .values(row)
        .onConflict((conflict) => conflict.columns(['tenant', 'txn', 'type', 'user_id']).doUpdateSet({ depth }))
        .execute()
    }
    return outcome
  }

  async function apply(context: ChangeContext, upstream: Upstream, event: ReceivedEvent, meaning: Meaning, user: UserRow): Promise<UpstreamOutcome> {
    const about = (user: string) => aboutUser(issuer, user)
    const { type, payload } = meaning
    const reason = `${upstream.displayName}: ${shortName(event.type)}`
    const publish = (ends: boolean) => publishWithGuests(context, issuer, user.id, about, { type, reason, ends })
    switch (meaning.action) {
      case 'revoke':
        await publish(true)
        return 'committed'
      case 'reevaluate':
        context.publish({ type, subject: about(user.id), payload, reason, cut: { kind: 'user', id: user.id, depth: 'access' } })
        return 'committed'
      case 'disable': {
        // Whom somebody here disabled is theirs: an upstream that holds, too, could let go.
        if (user.enabled === 0 && (await holdersOf(context, user.id)).length === 0) return 'unchanged'
        await addHold(context, user.id, upstream.id)
        if (user.enabled === 0) return 'unchanged'
        await setColumns(context, user, { enabled: 0 })
        await publish(true)
        return 'committed'
      }
      case 'enable': {
        const holders = await holdersOf(context, user.id)
        await releaseHolds(context, user.id, upstream.id)
        if (user.enabled === 1 || holders.length !== 1 || holders[0] !== upstream.id) return 'unchanged'
        await setColumns(context, user, { enabled: 1 })
        await publish(false)
        return 'committed'
      }
      default:
        return 'ignored'
    }
  }
}

export type Act = ReturnType<typeof createAct>
