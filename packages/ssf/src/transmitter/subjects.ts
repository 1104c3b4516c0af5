import { isObject, parseSubject, type Subject } from '@caegis/protocol'
import { type Answer, type Caller, json, noContent, refuse, refuseScope } from './answer.ts'
import { canonical } from './canonical.ts'
import type { Settings } from './options.ts'
import { findOwn } from './streams.ts'

/** Which subjects are on a stream (SSF 1.0 section 8.1.3). Whether anybody is known by a subject is not told. */
export interface Subjects {
  addSubject(caller: Caller, body: unknown): Promise<Answer>
  removeSubject(caller: Caller, body: unknown): Promise<Answer>
}

export function createSubjects(settings: Settings): Subjects {
  const { store, now, limits } = settings

  async function change(caller: Caller, body: unknown, included: boolean): Promise<Answer> {
    if (!isObject(body) || typeof body.stream_id !== 'string') return refuse('invalid_request', { detail: 'stream_id' })
    const denied = refuseScope(caller, 'ssf.manage')
    if (denied) return denied
    const own = await findOwn(store, caller, body.stream_id)
    if (!own) return refuse('unknown_stream')
    const named = readSubject(body.subject)
    if (!named) return refuse('invalid_request', { detail: 'subject' })
    if (body.verified !== undefined && typeof body.verified !== 'boolean') return refuse('invalid_request', { detail: 'verified' })
    const done = included ? { ...json(200, undefined), headers: { 'cache-control': 'no-store' } } : noContent()
    const itself = named.format === 'opaque' && 'id' in named && named.id === own.id
    // A guard that hears of selected people only protects nobody; the stream itself is always on it.
    if ((own.guard || itself) && !included) return refuse('subject_fixed')
    if (own.guard || itself) {
      await store.saveProgress(own.id, { seenAt: now() / 1000 })
      return done
    }
    // Unknown here: kept as it was named, so that it takes up as much room as any other.
    const subject = (await settings.subjectOf?.(named)) ?? named
    const text = canonical(subject)
    let full = false
    const changed = await store.updateStream(own.id, (stream) => {
      // Said again, it counts from now on: a later word prevails.
      const others = (stream.subjectRules ?? []).filter((rule) => canonical(rule.subject) !== text)
      // The first word about a subject that only says what holds anyway needs no room.
      const moot = others.length === 0 && included === (stream.defaultSubjects !== 'NONE')
      full = !moot && others.length >= limits.subjects
      if (full) return undefined
      const rules = moot ? [] : [...others, { subject, included }]
      return { config: { subjectRules: rules.length > 0 ? rules : undefined }, progress: { seenAt: now() / 1000 } }
    })
    if (!changed) return refuse('unknown_stream')
    return full ? refuse('too_many_subjects', { headers: { 'retry-after': '60' } }) : done
  }

  return { addSubject: (caller, body) => change(caller, body, true), removeSubject: (caller, body) => change(caller, body, false) }
}

function readSubject(value: unknown): Subject | undefined {
  try {
    return parseSubject(value)
  } catch {
    return undefined
  }
}
