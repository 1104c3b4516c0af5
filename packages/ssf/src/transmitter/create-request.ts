import { isObject } from '@caegis/protocol'
import { POLL_METHOD } from '../wire.ts'
import { type Answer, refuse } from './answer.ts'
import type { Delivery, Evaluates, SetAlgorithm, SubjectForm } from './store.ts'
import { parseSupplied, type Supplied } from './stream-request.ts'

/** What a receiver may choose about its stream (SSF 1.0 section 8.1.1), checked. */
export interface CreateRequest extends Supplied {
  delivery: Delivery
  subjects: SubjectForm
  alg: SetAlgorithm
  guard: boolean
  evaluates?: Evaluates[]
}

/**
 * Reads the body of a create request. Members that are the transmitter's (`aud`, `iss` ...) and unknown ones are ignored: whatever they say has no effect.
 * The extension is the opposite: who asks for what we do not know would get less protection than it believes, so it is refused.
 */
export function parseCreateRequest(body: Record<string, unknown>, offered: { push: boolean }): CreateRequest | Answer {
  const supplied = parseSupplied(body, offered)
  if ('status' in supplied) return supplied
  const request: CreateRequest = {
    subjects: 'simple',
    alg: 'RS256',
    guard: false,
    ...supplied,
    delivery: supplied.delivery ?? { method: POLL_METHOD },
  }
  if (body.caegis !== undefined) {
    const wrong = readExtension(body.caegis, request)
    if (wrong) return refuse('invalid_extension', { detail: wrong })
  }
  return request
}

/** @returns what is wrong, if anything is */
function readExtension(caegis: unknown, request: CreateRequest): string | undefined {
  if (!isObject(caegis)) return 'not an object'
  const { subjects, alg, guard, evaluates, ...unknown } = caegis
  if (Object.keys(unknown).length > 0) return 'an unknown member'
  if (subjects !== undefined) {
    if (subjects !== 'simple' && subjects !== 'complex') return 'subjects'
    request.subjects = subjects
  }
  if (alg !== undefined) {
    if (alg !== 'RS256' && alg !== 'ES256') return 'alg'
    request.alg = alg
  }
  if (guard !== undefined) {
    if (typeof guard !== 'boolean') return 'guard'
    request.guard = guard
  }
  if (evaluates !== undefined) {
    if (!request.guard || !Array.isArray(evaluates) || !evaluates.every(isEvaluates)) return 'evaluates'
    request.evaluates = [...new Set(evaluates)]
  }
  // A guard gets every row, and a simple subject cannot say most of them.
  if (request.guard && request.subjects === 'simple') return 'a guard needs complex subjects'
  // Only a poll's answer carries the head, which a guard's freshness is measured by.
  return request.guard && request.delivery.method !== POLL_METHOD ? 'a guard polls' : undefined
}

function isEvaluates(value: unknown): value is Evaluates {
  return value === 'ip' || value === 'country'
}
